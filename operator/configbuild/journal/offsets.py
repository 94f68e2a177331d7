"""Where things are in the file of a journal: the ends of lines, a cursor, a block to read.

Only whole lines count: what follows the last newline is a write that a crash cut short, or one that
is under way. ``end`` is always a border between lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configbuild.errors import NotFoundError
from configbuild.events import line_id

BLOCK_BYTES = 128 * 1024  # measured: a replay takes 1.2 times as long with 64, 1.1 with 256
_SEARCH_BYTES = 8 * 1024  # holds some 30 lines
_LINE_HEAD_BYTES = 64  # holds a line's id


def open_journal(path: Path) -> int:
    """Open a journal for reading; :class:`NotFoundError` if there is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"there is no journal {path.name}") from None


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a journal for reading for a while; errors as in :func:`open_journal`."""
    fd = open_journal(path)
    try:
        yield fd
    finally:
        os.close(fd)


def find_offset(fd: int, after_id: int, *, end: int, begin: int = 0) -> int:
    """Find where the first line with an id above ``after_id`` begins; ``end`` if there is none.

    Bisects the bytes between ``begin``, a border between lines, and ``end``; ids only have to
    ascend.
    """
    while begin < end:
        middle = (begin + end) // 2
        start = _after_last_newline(fd, middle, begin=begin)
        if line_id(os.pread(fd, _LINE_HEAD_BYTES, start)) > after_id:
            end = start
        else:
            begin = _after_next_newline(fd, middle, end=end)
    return end


def read_block(fd: int, offset: int, end: int) -> bytes:
    """Read the whole lines from ``offset`` on, about 128 KiB of them or one; empty at ``end``."""
    size = BLOCK_BYTES
    while True:
        data = os.pread(fd, min(size, end - offset), offset)
        if offset + len(data) >= end or not data:
            return data
        if whole := data.rfind(b"\n") + 1:
            return data[:whole]
        size *= 2


def last_line(fd: int, end: int) -> bytes:
    """Read the line that ends at ``end``."""
    start = line_start(fd, end)
    return os.pread(fd, end - start, start)


def line_start(fd: int, end: int) -> int:
    """Find where the line begins that ends at ``end``."""
    return _after_last_newline(fd, end - 1)


def end_of_whole_lines(fd: int) -> int:
    """Find where the last whole line ends."""
    return _after_last_newline(fd, os.fstat(fd).st_size)


def _after_last_newline(fd: int, offset: int, *, begin: int = 0) -> int:
    """Find the last border between lines up to ``offset``."""
    size = _SEARCH_BYTES
    while True:
        start = max(begin, offset - size)
        newline = os.pread(fd, offset - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        if start == begin:
            return begin
        size *= 4


def _after_next_newline(fd: int, offset: int, *, end: int) -> int:
    """Find the first border between lines after ``offset``."""
    while offset < end:
        data = os.pread(fd, _SEARCH_BYTES, offset)
        newline = data.find(b"\n")
        if newline >= 0:
            return offset + newline + 1
        if not data:
            break
        offset += len(data)
    return end
