"""Journals on a real disk: order, crashes, full disks, and reading at a cursor."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from configbuild.errors import JournalError, NotFoundError
from configbuild.events import (
    Body,
    BuildCompleted,
    BuildCreated,
    BuildLog,
    BuildStep,
    LogLineEncoder,
    decode_line,
    line_id,
)
from configbuild.journal import Journals, JournalWriter
from configbuild.journal.offsets import find_offset, opened
from configbuild.journal.reader import read_events
from configbuild.lines import Lines
from configbuild.model import BuildId, BuildStatus, Step, StepStatus, Stream, Trigger

BUILD = BuildId("build_01JB2Z5V7T3QK8M4N6P9R0S1XA")
CREATED = BuildCreated(
    status=BuildStatus.QUEUED, config_id="c", workspace_id="w", trigger=Trigger.INITIAL
)
STEP = BuildStep(step=Step.CREATE_VENV, status=StepStatus.RUNNING, message="Creating")
COMPLETED = BuildCompleted(status=BuildStatus.ACTIVE, exit_code=0, summary="done")


def log(message: str) -> BuildLog:
    return BuildLog(step=Step.CREATE_VENV, stream=Stream.STDOUT, message=message)


def encoder(stream: Stream = Stream.STDOUT) -> LogLineEncoder:
    return LogLineEncoder(build_id=BUILD, step=Step.CREATE_VENV, stream=stream)


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path / "deep" / "logs")


@pytest.fixture
def writer(journals: Journals) -> Iterator[JournalWriter]:
    with closing(journals.create(BUILD)) as writer:
        yield writer


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_events_are_in_the_file_as_soon_as_they_are_appended(writer: JournalWriter) -> None:
    bodies: list[Body] = [CREATED, STEP, log("hello"), COMPLETED]
    for number, body in enumerate(bodies, 1):
        event = writer.append(body)

        assert (event.id, event.body, event.build_id) == (number, body, BUILD)
        assert [decode_line(line) for line in lines_of(writer.path)][-1] == event
        assert writer.last_id == number
        assert writer.size == writer.path.stat().st_size


def test_lines_of_output_are_events_with_pieces_marked(writer: JournalWriter) -> None:
    writer.append(CREATED)
    writer.append_lines(encoder(), [])
    writer.append_lines(
        encoder(),
        [
            Lines(["one", "two"], continued=False),
            Lines(["thr"], continued=True),
            Lines(["ee"], continued=False),
        ],
    )
    writer.append(STEP)

    events = [decode_line(line) for line in lines_of(writer.path)]
    assert [event.id for event in events] == [1, 2, 3, 4, 5, 6]
    assert [
        (event.body.message, event.body.continued)
        for event in events
        if isinstance(event.body, BuildLog)
    ] == [("one", False), ("two", False), ("thr", True), ("ee", False)]


def test_a_journal_is_for_its_owner_alone_and_never_written_over(journals: Journals) -> None:
    with closing(journals.create(BUILD)) as writer:
        assert stat.S_IMODE(writer.path.stat().st_mode) == 0o600
        assert writer.path == journals.directory / "01jb2z5v7t3qk8m4n6p9r0s1xa.ndjson"
        with pytest.raises(JournalError, match=r"cannot create journal .* File exists"):
            journals.create(BUILD)


def test_nothing_follows_the_end_of_a_build(writer: JournalWriter) -> None:
    writer.append(COMPLETED)
    before = writer.path.read_bytes()

    with pytest.raises(JournalError, match=r"ends with build\.completed"):
        writer.append(COMPLETED)
    with pytest.raises(JournalError, match=r"ends with build\.completed"):
        writer.append_lines(encoder(), [Lines(["late"], continued=False)])

    assert writer.path.read_bytes() == before


def test_a_closed_journal_takes_nothing(writer: JournalWriter) -> None:
    writer.sync()
    writer.close()
    writer.close()

    assert writer.closed
    for act in (lambda: writer.append(STEP), writer.sync):
        with pytest.raises(JournalError, match="is closed"):
            act()


def test_threads_write_in_one_order(writer: JournalWriter) -> None:
    def write(name: str) -> None:
        for number in range(0, 200, 2):
            writer.append_lines(
                encoder(), [Lines([f"{name} {number}", f"{name} {number + 1}"], continued=False)]
            )
            if number % 20 == 0:
                writer.append(STEP)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    events = [decode_line(line) for line in lines_of(writer.path)]
    assert [event.id for event in events] == list(range(1, 841))
    assert all(one.time <= other.time for one, other in pairwise(events))
    for name in "abcd":
        messages = [event.body.message for event in events if isinstance(event.body, BuildLog)]
        assert [text for text in messages if text[0] == name] == [f"{name} {n}" for n in range(200)]


def test_time_never_goes_back(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    first = writer.append(CREATED)

    class ClockSetBack(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return first.time - timedelta(hours=1)

    monkeypatch.setattr("configbuild.journal.writer.datetime", ClockSetBack)

    assert writer.append(STEP).time == first.time
    writer.close()
    with closing(JournalWriter.open_existing(writer.path, BUILD)) as reopened:
        assert reopened.append(STEP).time == first.time


# --- after a crash


def crashed(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / f"{BUILD.ulid}.ndjson"
    path.write_bytes(content)
    return path


@pytest.fixture
def whole(writer: JournalWriter) -> list[bytes]:
    """The lines of a journal that an operator's death left without an end."""
    writer.append(CREATED)
    writer.append(STEP)
    writer.append_lines(encoder(), [Lines(["one", "two é", "three"], continued=False)])
    writer.close()
    return lines_of(writer.path)


def test_a_line_torn_at_any_byte_is_cut_off(whole: list[bytes], tmp_path: Path) -> None:
    *sound, last = whole
    for torn_at in range(len(last)):
        path = crashed(tmp_path, b"".join(sound) + last[:torn_at])

        assert [event.id for event in read_events(path)] == [1, 2, 3, 4]
        for _ in range(2):  # healing twice changes nothing
            with closing(JournalWriter.open_existing(path, BUILD)) as healed:
                assert (healed.last_id, healed.completed) == (4, False)
            assert lines_of(path) == sound
        with closing(JournalWriter.open_existing(path, BUILD)) as healed:
            healed.append(COMPLETED)
        assert lines_of(path)[:-1] == sound
        assert decode_line(lines_of(path)[-1]).body == COMPLETED


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        pytest.param(lambda lines: lines, 5, id="nothing"),
        pytest.param(lambda _: [], 0, id="everything"),
        pytest.param(lambda lines: [lines[0][:9]], 0, id="all but a part of the first line"),
        pytest.param(lambda lines: [*lines, b"\x00" * 4096], 5, id="zeros at the end"),
        pytest.param(
            lambda lines: [*lines[:3], b"\x00" * len(lines[3]), lines[4]], 3, id="a hole of zeros"
        ),
        pytest.param(lambda lines: [*lines[:3], lines[4]], 3, id="a line is missing"),
        pytest.param(lambda lines: [*lines, lines[4]], 5, id="a line is there twice"),
        pytest.param(lambda lines: [*lines[:4], lines[4][:60] + b"\n"], 4, id="a line cut short"),
        pytest.param(lambda lines: [*lines, b"\n", b"\n"], 5, id="empty lines"),
    ],
)
def test_what_a_power_failure_leaves_is_cut_off(
    whole: list[bytes], tmp_path: Path, damage: object, kept: int
) -> None:
    assert callable(damage)
    path = crashed(tmp_path, b"".join(damage(whole)))

    assert [event.id for event in read_events(path)] == list(range(1, kept + 1))
    summary = Journals(tmp_path).summary(BUILD)
    assert (summary.last.id if summary else 0) == kept
    with closing(JournalWriter.open_existing(path, BUILD)) as healed:
        assert healed.last_id == kept
        assert path.read_bytes() == b"".join(whole[:kept])
        assert healed.append(COMPLETED).id == kept + 1


def test_a_finished_journal_stays_as_it_is(writer: JournalWriter) -> None:
    writer.append(CREATED)
    writer.append(COMPLETED)
    writer.close()
    before = writer.path.read_bytes()

    with closing(JournalWriter.open_existing(writer.path, BUILD)) as reopened:
        assert reopened.completed
        with pytest.raises(JournalError):
            reopened.append(COMPLETED)

    assert writer.path.read_bytes() == before


def test_damage_in_a_large_journal_is_found_from_its_end(writer: JournalWriter) -> None:
    writer.append(CREATED)
    for _ in range(10):  # 12 MB, some lines of 400 kB
        writer.append_lines(encoder(), [Lines(["x" * 60] * 3000 + ["\0" * 65536], continued=False)])
    writer.close()
    sound = writer.path.read_bytes()
    with writer.path.open("ab") as file:
        file.write(b"\x00" * 100_000 + b"\n{}\n" + sound[-500_000:])

    with closing(JournalWriter.open_existing(writer.path, BUILD)) as healed:
        assert healed.last_id == 1 + 10 * 3001
        assert writer.path.read_bytes() == sound


# --- a full disk

# On a real small tmpfs in a mount namespace of its own, which ends with the process; where that is
# not allowed, under a limit of the file size, which ends a write in its middle in the same way.
FILL = """
import json, resource, signal, sys
from pathlib import Path
from configbuild.errors import JournalError
from configbuild.journal import Journals, JournalWriter
from configbuild.lines import Lines
from tests.unit.test_journal import BUILD, COMPLETED, CREATED, encoder, lines_of

kind, directory = sys.argv[1], Path(sys.argv[2])
ballast = directory / "ballast"
ballast.write_bytes(bytes(16384))
if kind == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
writer = Journals(directory / "logs").create(BUILD)
writer.append(CREATED)
try:
    while True:
        writer.append_lines(encoder(), [Lines(["x" * 70] * 7, continued=False)])
except JournalError as error:
    message, last_id, full = error.message, writer.last_id, writer.path.read_bytes()
ballast.unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
end = writer.append(COMPLETED).id
after = writer.path.read_bytes()
writer.close()
print(json.dumps([message, last_id, full.decode(), end, after.decode()]))
"""


def fill(kind: str, directory: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", FILL, kind, str(directory)]
    if kind == "tmpfs":
        mount = 'mount -t tmpfs -o size=96k none "$0" || exit 77; exec "$@"'
        argv = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(directory), *argv]
    return subprocess.run(
        argv,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_leaves_whole_lines_and_a_way_on(tmp_path: Path) -> None:
    done = fill("tmpfs", tmp_path)
    expected = "No space left on device"
    if done.returncode in (1, 77):  # no such namespace, or no mount in it
        done = fill("limit", tmp_path)
        expected = "File too large"
    assert done.returncode == 0, done.stderr
    message, last_id, full, end, after = json.loads(done.stdout)

    assert message.startswith("cannot write journal")
    assert expected in message
    assert full.endswith("\n")
    assert [line_id(line) for line in full.encode().splitlines()] == list(range(1, last_id + 1))
    assert end == last_id + 1
    assert after.startswith(full)
    assert decode_line(after[len(full) :].encode()).body == COMPLETED


# --- reading


def test_every_cursor_is_found(writer: JournalWriter) -> None:
    lengths = random.Random(7)
    for _ in range(300):
        writer.append(log("x" * lengths.choice([0, 3, 50, 500, 9000, 70_000])))
    lines = lines_of(writer.path)

    with opened(writer.path) as fd:
        for after_id in range(302):
            expected = sum(map(len, lines[:after_id]))
            assert find_offset(fd, after_id, end=writer.size) == expected
            begin = sum(map(len, lines[: after_id // 2]))
            assert find_offset(fd, after_id, begin=begin, end=writer.size) == expected
        assert find_offset(fd, -1, end=writer.size) == 0
        assert find_offset(fd, 10**15, end=writer.size) == writer.size
        assert find_offset(fd, 0, end=0) == 0


def test_events_are_read_from_a_cursor_up_to_a_limit(
    journals: Journals, writer: JournalWriter
) -> None:
    bodies: list[Body] = [CREATED, STEP, *map(log, "abcdef"), COMPLETED]
    sent = [writer.append(body) for body in bodies]

    assert list(journals.events(BUILD)) == sent
    assert list(journals.events(BUILD, 3)) == sent[3:]
    assert list(journals.events(BUILD, 3, 2)) == sent[3:5]
    assert list(journals.events(BUILD, 9)) == []
    assert list(journals.events(BUILD, 99)) == []


def test_the_summary_tells_how_a_build_stands(journals: Journals) -> None:
    assert journals.summary(BUILD) is None
    with closing(journals.create(BUILD)) as writer:
        assert journals.summary(BUILD) is None
        created = writer.append(CREATED)
        summary = journals.summary(BUILD)
        assert summary is not None
        assert (summary.created, summary.first_step, summary.last) == (created, None, created)
        step = writer.append(STEP)
        writer.append_lines(encoder(), [Lines(["x" * 100] * 9000, continued=False)])
        summary = journals.summary(BUILD)
        assert summary is not None
        assert (summary.first_step, summary.last.id, summary.ended) == (step, 9002, None)
        completed = writer.append(COMPLETED)

    summary = journals.summary(BUILD)
    assert summary is not None
    assert (summary.created, summary.first_step, summary.ended) == (created, step, completed)
    assert summary.size_bytes == journals.path(BUILD).stat().st_size


def test_a_summary_leaves_a_torn_tail_out(whole: list[bytes], tmp_path: Path) -> None:
    path = crashed(tmp_path, b"".join(whole)[:-1])

    summary = Journals(path.parent).summary(BUILD)

    assert summary is not None
    assert summary.last.id == 4


# --- the directory


def test_a_directory_knows_its_journals(journals: Journals) -> None:
    assert journals.ids() == []
    older, newer = BuildId("build_01JB2Z5V7T3QK8M4N6P9R0S1XA"), BuildId.new()
    for build_id in (newer, older):
        journals.create(build_id).close()
    (journals.directory / "notes.ndjson").touch()
    (journals.directory / f"{older.ulid}.txt").touch()

    assert journals.ids() == [older, newer]
    assert journals.exists(older)

    journals.remove(older)
    journals.remove(older)

    assert not journals.exists(older)
    assert journals.ids() == [newer]


def test_a_journal_is_live_while_its_writer_is_open(journals: Journals) -> None:
    with closing(journals.create(BUILD)) as writer:
        assert journals.writer(BUILD) is writer
        with pytest.raises(JournalError, match="is being written already"):
            journals.reopen(BUILD)
    assert journals.writer(BUILD) is None

    with closing(journals.reopen(BUILD)) as writer:
        assert journals.writer(BUILD) is writer
    journals.remove(BUILD)
    assert journals.writer(BUILD) is None


def test_a_journal_is_live_before_there_is_a_file(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = JournalWriter.create

    def look_and_create(path: Path, build_id: BuildId, *, limit_bytes: int) -> JournalWriter:
        assert not path.exists()
        assert journals.is_live(build_id)
        made = create(path, build_id, limit_bytes=limit_bytes)
        assert journals.is_live(build_id)
        return made

    monkeypatch.setattr(JournalWriter, "create", look_and_create)
    assert not journals.is_live(BUILD)
    with closing(journals.create(BUILD)):
        assert journals.is_live(BUILD)
    assert not journals.is_live(BUILD)


def test_what_is_not_there_is_not_found(journals: Journals) -> None:
    with pytest.raises(NotFoundError):
        journals.reopen(BUILD)
    with pytest.raises(NotFoundError):
        list(journals.events(BUILD))
    with pytest.raises(NotFoundError):
        journals.follow(BUILD, follow=True)


def test_times_are_those_of_the_clock(writer: JournalWriter) -> None:
    before = datetime.now(UTC)
    event = writer.append(CREATED)

    assert before <= event.time <= datetime.now(UTC)
