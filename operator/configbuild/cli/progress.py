"""Shows a build while it runs: one more reader of its journal, which it neither slows nor ends.

A :class:`Display` is fed the journal's bytes. It may block for as long as a terminal or a pipe
does, so it is called in a thread.
"""

from __future__ import annotations

import os
import select
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from configbuild.cli.text import lines_of, printable
from configbuild.events import BuildCompleted, decode_line, encode_line
from configbuild.model import BuildId
from configbuild.outcome import REUSED


class ReaderGoneError(OSError):
    """Nobody reads standard output any more, as behind ``| head``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFacts:
    """What a person wants to know of a verified venv."""

    venv: Path
    python: str
    engine: str
    packages: int
    journal: Path
    command: tuple[str, ...]

    def rows(self) -> list[tuple[str, str]]:
        """Pair what it is with what is to be said, save for the command."""
        return [
            ("venv", str(self.venv)),
            ("python", self.python),
            ("engine", self.engine),
            ("packages", str(self.packages)),
            ("journal", str(self.journal)),
        ]

    def lines(self) -> list[str]:
        """Write all that down, so that a script can find it: ``name: value``."""
        rows = [*self.rows(), ("run", shlex.join(self.command))]
        return [printable(f"{name}: {value}") for name, value in rows]


class Display(Protocol):
    """Where a build is shown. ``OSError`` from any method: nobody can be shown anything more."""

    def reused(self, build_id: BuildId, built: BuiltFacts) -> None:
        """Say that an earlier build is what is wanted; nothing else is called then."""

    def begin(self, title: str, note: str) -> None:
        """Say what is built, and why."""

    def feed(self, block: bytes) -> None:
        """Take the next whole lines of the journal; empty if there was nothing new for a while."""

    def stopping(self, note: str) -> None:
        """Say that the build is being ended; called in the event loop, so it must not block."""

    def end(self, journal: Path, built: BuiltFacts | None) -> None:
        """Say how it ended; ``built`` if it ended well."""


class NdjsonDisplay:
    """Passes on the journal's bytes as they are; all else goes to standard error."""

    def reused(self, build_id: BuildId, built: BuiltFacts) -> None:
        """Give its events again, of which the last says so; see :class:`Display`."""
        say(f"{REUSED} {build_id}")
        content = built.journal.read_bytes()
        last_line = content[content.rfind(b"\n", 0, -1) + 1 :]
        last = decode_line(last_line)
        assert isinstance(last.body, BuildCompleted)
        reworded = encode_line(replace(last, body=replace(last.body, summary=REUSED)))
        write_bytes(content.removesuffix(last_line) + reworded)

    def begin(self, title: str, note: str) -> None:
        """See :class:`Display`."""
        say(f"Building {title}: {note}")

    def feed(self, block: bytes) -> None:
        """See :class:`Display`."""
        write_bytes(block)

    def stopping(self, note: str) -> None:
        """See :class:`Display`."""
        say(note)

    def end(self, journal: Path, built: BuiltFacts | None) -> None:
        """See :class:`Display`; the last event said it."""


class PlainDisplay:
    """Lines for files, pipes and dumb terminals; see :mod:`configbuild.cli.text`."""

    def reused(self, build_id: BuildId, built: BuiltFacts) -> None:
        """See :class:`Display`."""
        write_lines(f"{REUSED} {build_id}", *built.lines())

    def begin(self, title: str, note: str) -> None:
        """See :class:`Display`."""
        write_lines(printable(f"Building {title}: {note}"))

    def feed(self, block: bytes) -> None:
        """See :class:`Display`."""
        events = map(decode_line, filter(None, block.split(b"\n")))
        write_lines(*(line for event in events for line in lines_of(event)))

    def stopping(self, note: str) -> None:
        """See :class:`Display`."""
        say(note)

    def end(self, journal: Path, built: BuiltFacts | None) -> None:
        """See :class:`Display`."""
        if built is None:
            write_lines(f"journal: {journal}")
        else:
            write_lines(*built.lines())


def say(text: str) -> None:
    """Tell a person what does not belong to the output."""
    sys.stderr.write(printable(text) + "\n")


def write_lines(*lines: str) -> None:
    """Write text to standard output, at once; :class:`ReaderGoneError` if nobody reads it."""
    _check_reader()
    if lines:
        with _reader_wanted():
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()


def write_bytes(block: bytes) -> None:
    """Write bytes to standard output, at once; :class:`ReaderGoneError` if nobody reads it."""
    _check_reader()
    rest = memoryview(block)
    descriptor = sys.stdout.fileno()
    with _reader_wanted():
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # whoever started us left it non-blocking
                select.select([], [descriptor], [])


@contextmanager
def _reader_wanted() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGoneError from None


def _check_reader() -> None:
    """Notice that the other end of a pipe was closed, also where there is nothing to write."""
    poller = select.poll()
    poller.register(sys.stdout, 0)
    if any(events & select.POLLERR for _, events in poller.poll(0)):
        raise ReaderGoneError


def leave_quietly() -> None:
    """Have what is still to be written go nowhere: otherwise Python complains of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
