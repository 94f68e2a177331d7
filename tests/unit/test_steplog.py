"""From the bytes of a step's commands to events in its build's journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from configbuild.errors import JournalError
from configbuild.events import BuildLog, decode_line
from configbuild.journal import JournalWriter
from configbuild.model import Step, Stream
from configbuild.output import OutputSink
from configbuild.redaction import Redactor
from configbuild.steplog import StepLog

from .test_journal import BUILD, COMPLETED, CREATED, lines_of

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    with closing(JournalWriter.create(tmp_path / "x.ndjson", BUILD)) as writer:
        writer.append(CREATED)
        yield writer


def logged(writer: JournalWriter) -> list[tuple[Stream, str, bool]]:
    bodies = [decode_line(line).body for line in lines_of(writer.path)]
    logs = [body for body in bodies if isinstance(body, BuildLog)]
    assert all(body.step is Step.INSTALL_ENGINE for body in logs)
    return [(body.stream, body.message, body.continued) for body in logs]


def steplog(writer: JournalWriter, **options: int) -> StepLog:
    redactor = Redactor([b"hunter2"])
    return StepLog(writer, step=Step.INSTALL_ENGINE, redactor=redactor, **options)


def test_each_stream_has_lines_of_its_own(writer: JournalWriter) -> None:
    log: OutputSink = steplog(writer)

    log.feed(OUT, b"out one\nout t")
    log.feed(ERR, b"err one\nerr hunt")
    log.feed(OUT, b"wo\n")
    log.feed(ERR, b"er2\nlast")
    log.end(OUT)
    log.end(ERR)

    assert logged(writer) == [
        (OUT, "out one", False),
        (ERR, "err one", False),
        (OUT, "out two", False),
        (ERR, "err ***", False),
        (ERR, "last", False),
    ]


def test_the_next_command_begins_a_new_line(writer: JournalWriter) -> None:
    log = steplog(writer, max_line_bytes=8)
    for _ in range(2):
        log.feed(OUT, b"no newline")
        log.end(OUT)

    assert logged(writer) == [(OUT, "no newli", True), (OUT, "ne", False)] * 2


def test_the_tail_holds_the_last_lines_of_both_streams(writer: JournalWriter) -> None:
    log = steplog(writer)
    assert log.tail() == []
    log.feed(OUT, b"".join(b"%d\n" % number for number in range(1000)))
    log.feed(ERR, b"ERROR: hunter2\n")

    assert log.tail() == [*(str(number) for number in range(981, 1000)), "ERROR: ***"]


def test_a_journal_that_cannot_be_written_is_told_to_who_reads(writer: JournalWriter) -> None:
    log = steplog(writer)
    writer.append(COMPLETED)

    log.feed(OUT, b"half a line")
    with pytest.raises(JournalError):
        log.feed(OUT, b" and its end\n")

    assert log.tail() == ["half a line and its end"]
