"""Reads the events of a build from its journal, all from a cursor on or the few that tell most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from configbuild.events import BuildCompleted, BuildStep, Event, decode_line
from configbuild.journal.limit import is_shortened
from configbuild.journal.offsets import find_offset, last_line, opened, read_block
from configbuild.journal.progress import Progress
from configbuild.journal.recovery import sound_end


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSummary:
    """The first event of a build, the first of its steps, and its last event so far.

    ``truncated``: log lines were left out.
    """

    created: Event
    first_step: Event | None
    last: Event
    size_bytes: int
    truncated: bool = False

    @property
    def ended(self) -> Event | None:
        """The event that ends the build, if it has ended."""
        return self.last if isinstance(self.last.body, BuildCompleted) else None


def read_events(
    path: Path, after_id: int = 0, limit: int | None = None, *, progress: Progress | None = None
) -> Iterator[Event]:
    """Read the events with ids above ``after_id``, at most ``limit`` of them.

    ``progress`` is that of a journal that has a writer. :class:`NotFoundError` if there is no
    journal.
    """
    with opened(path) as fd:
        end = _end(fd, progress)
        offset = find_offset(fd, after_id, end=end)
        yield from islice(_events(fd, offset, end), limit)


def summarize(path: Path, *, progress: Progress | None = None) -> JournalSummary | None:
    """Read what tells how a build stands, at the journal's two ends; ``None`` if it is empty.

    ``progress`` and errors as in :func:`read_events`.
    """
    with opened(path) as fd:
        end = _end(fd, progress)
        if not end:
            return None
        head = map(decode_line, read_block(fd, 0, end).splitlines())
        return JournalSummary(
            created=next(head),
            first_step=next((event for event in head if isinstance(event.body, BuildStep)), None),
            last=decode_line(last_line(fd, end)),
            size_bytes=end,
            truncated=is_shortened(fd, end),
        )


def _end(fd: int, progress: Progress | None) -> int:
    return sound_end(fd) if progress is None else progress.end_in(fd)


def _events(fd: int, offset: int, end: int) -> Iterator[Event]:
    while block := read_block(fd, offset, end):
        offset += len(block)
        for line in block.splitlines():  # of bytes, so at \n only; \r is escaped in JSON
            yield decode_line(line)
