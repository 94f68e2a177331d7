"""A journal that outgrows its limit: what stays, what is told of the rest, and who reads it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from configbuild.errors import JournalError
from configbuild.events import BuildGap, BuildLog, BuildStep, Event, decode_line
from configbuild.journal import Journals, JournalWriter
from configbuild.journal.limit import replacement_path
from configbuild.lines import Lines

from .test_journal import BUILD, COMPLETED, CREATED, STEP, encoder, log

LIMIT = 4 * 1024 * 1024
LINE = "x" * 400
# Some 3.5 MiB of events.
MANY = 6000


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path / "logs", limit_bytes=LIMIT)


@pytest.fixture
def writer(journals: Journals) -> Iterator[JournalWriter]:
    with closing(journals.create(BUILD)) as writer:
        yield writer


def flood(writer: JournalWriter, lines: int = MANY) -> None:
    """Write many lines, as a step's output comes: in batches."""
    for _ in range(lines // 100):
        texts = [f"{LINE} {number}" for number in range(100)]
        writer.append_lines(encoder(), [Lines(texts, continued=False)])


def assert_every_id_is_told_of_once(events: Sequence[Event]) -> None:
    expected = 1
    for event in events:
        first = event.body.first_id if isinstance(event.body, BuildGap) else event.id
        assert first == expected
        if isinstance(event.body, BuildGap):
            assert event.body.lines == event.id - first + 1
        expected = event.id + 1


def gaps(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if isinstance(event.body, BuildGap)]


def test_head_and_tail_stay_and_a_gap_tells_of_the_rest(
    journals: Journals, writer: JournalWriter
) -> None:
    writer.append(CREATED)
    flood(writer, 10 * MANY)
    writer.append(COMPLETED)
    events = list(journals.events(BUILD))
    assert_every_id_is_told_of_once(events)
    assert len(gaps(events)) == 1
    assert events[0].body == CREATED
    assert (events[-1].body, events[-1].id) == (COMPLETED, 10 * MANY + 2)
    assert writer.size == writer.path.stat().st_size <= LIMIT
    assert writer.size > LIMIT // 2
    assert writer.truncated
    # Both ends are worth reading: a quarter of the limit each at least.
    at = events.index(gaps(events)[0])
    assert min(at, len(events) - at) > LIMIT // 4 // 700


def test_journal_within_its_limit_is_left_alone(journals: Journals, writer: JournalWriter) -> None:
    writer.append(CREATED)
    flood(writer)
    assert writer.size > LIMIT // 2
    assert not writer.truncated
    assert gaps(list(journals.events(BUILD))) == []


def test_steps_stay_wherever_they_are(journals: Journals, writer: JournalWriter) -> None:
    writer.append(CREATED)
    for _ in range(6):
        writer.append(STEP)
        flood(writer)
    events = list(journals.events(BUILD))
    assert_every_id_is_told_of_once(events)
    assert len([event for event in events if isinstance(event.body, BuildStep)]) == 6
    assert len(gaps(events)) > 1
    # A gap is followed by something that was kept, never by another gap.
    assert not any(
        isinstance(a.body, BuildGap) and isinstance(b.body, BuildGap)
        for a, b in itertools.pairwise(events)
    )


def test_words_of_an_event_inside_a_line_do_not_make_it_one(
    journals: Journals, writer: JournalWriter
) -> None:
    writer.append(CREATED)
    flood(writer, MANY // 2)
    forged = '"type":"build.step" {"object":"ade.build.event","type":"build.gap","first_id":1}'
    writer.append(log(forged))
    flood(writer, 2 * MANY)
    events = list(journals.events(BUILD))
    assert_every_id_is_told_of_once(events)
    assert not any(isinstance(e.body, BuildLog) and e.body.message == forged for e in events)


@pytest.mark.parametrize("after_id", [0, 1, 3000, 20_000, 10 * MANY])
def test_cursor_means_the_same_before_and_after(
    journals: Journals, writer: JournalWriter, after_id: int
) -> None:
    writer.append(CREATED)
    flood(writer, 10 * MANY)
    events = list(journals.events(BUILD))
    resumed = list(journals.events(BUILD, after_id))
    assert resumed == [event for event in events if event.id > after_id]


def test_follower_that_keeps_up_gets_every_line_through_all_changes_of_file(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        got: list[Event] = []
        writer.append(CREATED)
        blocks = journals.follow(BUILD, follow=True)

        async def read() -> None:
            async with aclosing(blocks):
                async for block in blocks:
                    got.extend(map(decode_line, block.splitlines()))

        reading = asyncio.create_task(read())
        for _ in range(10 * MANY // 100):
            flood(writer, 100)
            while not got or got[-1].id < writer.last_id:  # noqa: ASYNC110 - turns, not time
                await asyncio.sleep(0)
        writer.append(COMPLETED)
        await reading
        assert writer.truncated
        assert [event.id for event in got] == list(range(1, writer.last_id + 1))

    asyncio.run(main())


def test_follower_that_stops_for_a_while_is_told_of_what_it_missed(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        writer.append(CREATED)
        flood(writer, MANY // 2)
        blocks = journals.follow(BUILD, follow=True)
        got = list(map(decode_line, (await anext(blocks)).splitlines()))
        flood(writer, 20 * MANY)
        writer.append(COMPLETED)
        async with aclosing(blocks):
            async for block in blocks:
                got.extend(map(decode_line, block.splitlines()))
        (gap,) = gaps(got)
        assert isinstance(gap.body, BuildGap)
        before, after = got[: got.index(gap)], got[got.index(gap) + 1 :]
        # The gap is the journal's, and a reader may have some of its lines already.
        assert gap.body.first_id <= before[-1].id + 1 <= gap.id
        assert [event.id for event in before] == list(range(1, len(before) + 1))
        assert [event.id for event in after] == list(range(gap.id + 1, writer.last_id + 1))
        assert got[-1].body == COMPLETED

    asyncio.run(main())


def test_follower_that_comes_late_reads_what_is_there(
    journals: Journals, writer: JournalWriter
) -> None:
    async def read(after_id: int) -> bytes:
        async with aclosing(journals.follow(BUILD, after_id, follow=False)) as blocks:
            return b"".join([block async for block in blocks])

    writer.append(CREATED)
    flood(writer, 10 * MANY)
    whole = asyncio.run(read(0))
    assert whole == writer.path.read_bytes()
    assert whole.endswith(asyncio.run(read(30_000)))


def test_journal_that_was_shortened_is_sound_after_a_crash(tmp_path: Path) -> None:
    # So small that the gap lies in the part that is checked line by line.
    journals = Journals(tmp_path / "logs", limit_bytes=LIMIT // 4)
    with closing(journals.create(BUILD)) as writer:
        writer.append(CREATED)
        flood(writer, 10 * MANY)
        last_id = writer.last_id
    with writer.path.open("ab") as journal:
        journal.write(b'{"object":"ade.build.event","id":')
    replacement_path(writer.path).write_bytes(b"half a journal")
    healed = journals.reopen(BUILD)
    assert (healed.last_id, healed.truncated) == (last_id, True)
    assert not replacement_path(writer.path).exists()
    healed.append(COMPLETED)
    told = journals.summary(BUILD)
    assert told is not None
    assert told.truncated
    assert told.created.body == CREATED
    assert_every_id_is_told_of_once(list(journals.events(BUILD)))


def test_journal_that_cannot_be_written_anew_stays_as_it_is(
    journals: Journals, writer: JournalWriter
) -> None:
    writer.append(CREATED)
    flood(writer)
    replacement_path(writer.path).mkdir()
    with pytest.raises(JournalError, match="cannot shorten journal"):
        flood(writer, MANY)
    replacement_path(writer.path).rmdir()
    writer.append(COMPLETED)
    events = list(journals.events(BUILD))
    assert_every_id_is_told_of_once(events)
    assert gaps(events) == []
    assert events[-1].body == COMPLETED


def test_removed_journal_leaves_no_file(journals: Journals, writer: JournalWriter) -> None:
    writer.append(CREATED)
    replacement_path(writer.path).write_bytes(b"")
    journals.remove(BUILD)
    assert list(journals.directory.iterdir()) == []
