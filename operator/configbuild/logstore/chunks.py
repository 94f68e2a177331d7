"""A log, cut into gzip chunks as it comes, within a limit: head, middle, tail. Pure.

The head is as long as half of the limit. What follows is the tail, of which the oldest chunks go
when the whole outgrows its limit. Their log lines are gone then; their other events stay, together
with the gaps that tell of the lines, in a chunk of its own between head and tail: the middle.

Chunks have numbers, which are their order. A chunk is open while lines are added to it, and can be
written as it stands at any time; once it is full it never changes, but for the middle, which may do
so until the end.

Source: RFC 1952 (gzip); each chunk is one whole member, so that any tool reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from configbuild.gaps import last_border, without_logs

LIMIT_BYTES = 1024 * 1024
"""Of all chunks of a log together, compressed: some 20,000 to 50,000 lines of an installer."""

# Small enough to be written anew every few seconds, and large enough to compress well (a chunk of
# 1 MiB takes 2 % less).
_CHUNK_BYTES = 112 * 1024

# Lines that are all alike compress a hundredfold and more, and who reads a chunk holds its lines.
_CHUNK_LINES_BYTES = 4 * 1024 * 1024

_CHUNKS = 30
"""Chunks at most, besides the one that is open and the middle: status has room for 32."""

# So much is compressed at once, hence a chunk may be too long by what this may take.
_PIECE_BYTES = 64 * 1024

# What a chunk can have at most: its last piece may not be compressible at all.
_ROOM_BYTES = _CHUNK_BYTES + 2 * _PIECE_BYTES

_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkContent:
    """A chunk as it is to be written: its number, its compressed lines, whether it is final."""

    number: int
    data: bytes
    final: bool


class _Open:
    """A chunk to which lines are added."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.changed = False
        self._parts: list[bytes] = []
        # Level 6 takes twice the time of level 1 and a fifth less room, of which there is little.
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self.size = 0
        self.lines_size = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added."""
        return self.size >= _CHUNK_BYTES or self.lines_size >= _CHUNK_LINES_BYTES

    def add(self, lines: bytes) -> None:
        """Add lines."""
        part = self._compressor.compress(lines)
        self._parts.append(part)
        self.size += len(part)
        self.lines_size += len(lines)
        self.changed = True

    def data(self) -> bytes:
        """Give it as it stands, as a whole gzip member."""
        return b"".join(self._parts) + self._compressor.copy().flush()


class ChunkedLog:
    """Takes the lines of a log and gives the chunks that are to be written."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._open = _Open(0)
        self._full: dict[int, bytes] = {}
        self._head_bytes = 0
        self._middle_number: int | None = None
        self._middle = b""
        self._middle_changed = False
        self._unwritten: set[int] = set()
        self._sent: set[int] = set()
        self._dropped: list[int] = []

    @property
    def truncated(self) -> bool:
        """Whether log lines were left out."""
        return bool(self._middle)

    def numbers(self) -> list[int]:
        """List the chunks that there are, in order."""
        middle = [self._middle_number] if self._middle and self._middle_number is not None else []
        opened = [self._open.number] if self._open.lines_size else []
        return sorted([*self._full, *middle, *opened])

    def add(self, lines: bytes) -> None:
        """Take whole lines."""
        for piece in pieces(lines):
            self._open.add(piece)
            if self._open.is_full:
                self._close()

    def changed(self, *, final: bool = False) -> Iterator[ChunkContent]:
        """Give the chunks that are not written as they stand; ``final``: nothing will be added."""
        for number in sorted(self._unwritten):
            yield ChunkContent(number=number, data=self._full[number], final=True)
        if self._middle_number is not None and self._middle and (self._middle_changed or final):
            data = zlib.compress(self._middle, 6, _GZIP)
            yield ChunkContent(number=self._middle_number, data=data, final=final)
        if self._open.changed or (final and self._open.lines_size):
            yield ChunkContent(number=self._open.number, data=self._open.data(), final=final)

    def sent(self, chunk: ChunkContent) -> None:
        """Take note that a chunk is sent, hence may be there from now on."""
        self._sent.add(chunk.number)

    def written(self, chunk: ChunkContent) -> None:
        """Take note that a chunk was written."""
        self._unwritten.discard(chunk.number)
        if chunk.number == self._middle_number:
            self._middle_changed = False
        if chunk.number == self._open.number:
            self._open.changed = False

    def dropped(self) -> list[int]:
        """List the chunks that may be there and are wanted no more."""
        return list(self._dropped)

    def removed(self, number: int) -> None:
        """Take note that a dropped chunk was removed."""
        self._dropped.remove(number)

    def _close(self) -> None:
        full = self._open
        self._full[full.number] = full.data()
        self._unwritten.add(full.number)
        following = full.number + 1
        if self._middle_number is None:
            self._head_bytes += len(self._full[full.number])
            is_long = self._head_bytes + _ROOM_BYTES > self._limit_bytes // 2
            if is_long or len(self._full) >= _CHUNKS // 2:
                self._middle_number = following
                following += 1
        self._open = _Open(following)
        self._make_room()

    def _make_room(self) -> None:
        while self._size() + _ROOM_BYTES > self._limit_bytes or len(self._full) > _CHUNKS:
            tail = [number for number in self._full if self._is_tail(number)]
            if not tail:
                return
            self._drop(min(tail))

    def _drop(self, number: int) -> None:
        lines = self._middle + zlib.decompress(self._full.pop(number), _GZIP)
        self._middle = without_logs(lines, 0, len(lines))
        self._middle_changed = True
        self._unwritten.discard(number)
        if number in self._sent:
            self._dropped.append(number)

    def _size(self) -> int:
        return sum(map(len, self._full.values())) + len(self._middle)

    def _is_tail(self, number: int) -> bool:
        return self._middle_number is not None and number > self._middle_number


def pieces(lines: bytes) -> Iterator[bytes]:
    """Cut lines into pieces of about :data:`_PIECE_BYTES`, at their borders."""
    begin = 0
    while begin < len(lines):
        end = min(begin + _PIECE_BYTES, len(lines))
        border = last_border(lines, end)
        if border <= begin:  # one line that is longer
            border = lines.find(b"\n", end) + 1 or len(lines)
        yield lines[begin:border]
        begin = border
