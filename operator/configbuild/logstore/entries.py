"""A log, cut into small gzip entries as it comes, within a limit: head, middle, tail. Pure.

For stores to which things are appended, one small entry after the other. The head is as long as
half of the limit. What follows is the tail, of which the oldest entries go when the whole outgrows
its limit. Their log lines are gone then; their other events stay, together with the gaps that tell
of the lines: the middle.

Source: RFC 1952 (gzip); each entry is one whole member, so that any tool reads it.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass

from configbuild.events import BuildGap, Event, decode_line, line_id
from configbuild.gaps import first_border, line_before, without_logs
from configbuild.logstore.chunks import pieces
from configbuild.model import BuildId

_GZIP = 16 + zlib.MAX_WBITS

# Twice as fast as level 6, for a fifth more room.
_LEVEL = 1

# An entry holds some 64 KiB of lines; a single line can be longer, by the limit of one (64 KiB) and
# its escapes (6 bytes for one at most). What unpacks to more was not made here.
_MAX_LINES_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """Lines, compressed; ``id`` is that of their first event."""

    id: int
    data: bytes


class EntryLog:
    """Takes the lines of a log and gives the entries that are to be kept."""

    def __init__(self, *, limit_bytes: int) -> None:
        """Keep so many bytes, compressed, and what follows the last entry."""
        self._limit_bytes = limit_bytes
        self._open = b""
        self._head: list[LogEntry] = []
        self._head_bytes = 0
        self._tail: deque[LogEntry] = deque()
        self._tail_bytes = 0
        self._middle = b""

    @property
    def truncated(self) -> bool:
        """Whether log lines were left out."""
        return bool(self._middle)

    def entries(self) -> list[LogEntry]:
        """List what is kept, in order; what followed the last :meth:`cut` is not in it."""
        return [*self._head, *self._tail]

    def middle(self) -> bytes:
        """Give what is told of entries that were left out, compressed; empty if none were."""
        return compressed(self._middle) if self._middle else b""

    def add(self, lines: bytes) -> None:
        """Take whole lines."""
        *whole, self._open = [*pieces(self._open + lines)] or [b""]
        for piece in whole:
            self._keep(piece)

    def cut(self) -> None:
        """Make an entry of what follows the last one."""
        if self._open:
            self._keep(self._open)
            self._open = b""

    def _keep(self, lines: bytes) -> None:
        entry = LogEntry(id=line_id(lines), data=compressed(lines))
        if not self._tail and self._head_bytes + len(entry.data) <= self._limit_bytes // 2:
            self._head.append(entry)
            self._head_bytes += len(entry.data)
            return
        self._tail.append(entry)
        self._tail_bytes += len(entry.data)
        # The last one stays in any case: it says how the build ended.
        while self._head_bytes + self._tail_bytes > self._limit_bytes and len(self._tail) > 1:
            self._drop(self._tail.popleft())

    def _drop(self, entry: LogEntry) -> None:
        self._tail_bytes -= len(entry.data)
        lines = self._middle + zlib.decompress(entry.data, _GZIP)
        self._middle = without_logs(lines, 0, len(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Lines that were read back, with the ids that they tell of, from the first to the last."""

    lines: bytes
    begins: int
    ends: int

    def between(self, after_id: int, before_id: int) -> bytes:
        """Give the lines that tell of nothing but ids between these two."""
        begin, end = 0, len(self.lines)
        for line in self.lines.splitlines(keepends=True):
            event = decode_line(line)
            if _begin_of(event) <= after_id:
                begin += len(line)
            elif event.id >= before_id:
                end -= len(line)
        return self.lines[begin:end]


def compressed(lines: bytes) -> bytes:
    """Give lines as one gzip member."""
    return zlib.compress(lines, _LEVEL, _GZIP)


def read_part(data: bytes, build_id: BuildId, *, entry_id: int | None = None) -> Part | None:
    """Read an entry back; ``None`` if it is not one of this build, with this id."""
    try:
        lines = zlib.decompressobj(_GZIP).decompress(data, _MAX_LINES_BYTES)
        first = decode_line(lines[: first_border(lines, 1)])
        last = decode_line(line_before(lines, len(lines)))
    except (ValueError, zlib.error):
        return None
    is_ours = lines.endswith(b"\n") and {first.build_id, last.build_id} == {build_id}
    if not is_ours or (entry_id is not None and first.id != entry_id):
        return None
    return Part(lines=lines, begins=_begin_of(first), ends=last.id)


def _begin_of(event: Event) -> int:
    return event.body.first_id if isinstance(event.body, BuildGap) else event.id
