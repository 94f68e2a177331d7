"""Keeps a journal within its limit: its head and its tail stay, and a gap says what is between.

When a journal outgrows the limit, it is written anew without the log lines of its middle, and takes
the old one's place. All other events stay wherever they are. Ids stay what they are, so that a
reader's cursor means the same before and after; the ids that are left out are told by a
:class:`~configbuild.events.BuildGap` in their place.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from configbuild.events import (
    BuildGap,
    Event,
    decode_line,
    encode_line,
    is_gap,
    positions_of_others_than_logs,
)

DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024

# Of the limit, for each end. What is left is for new lines, so that a journal is written anew once
# in every half of its limit, and what a flood costs is bounded by that: a byte copied for each new.
_KEPT_SHARE = 4

_WRITE_BYTES = 1024 * 1024

Range = tuple[int, int]


def replacement_path(path: Path) -> Path:
    """Name the file in which a journal is written anew; a crash may leave it behind."""
    return path.with_name(f".{path.name}.new")


def write_shortened(fd: int, path: Path, *, end: int, limit_bytes: int) -> int:
    """Write a journal anew without its middle, and put it in the place of ``path``; gives its file.

    ``fd`` is the journal's, ``end`` its size; both stay as they are for whoever reads them. The new
    file is on disk before it takes the place. ``OSError`` if it cannot be written: then nothing has
    changed.
    """
    fresh_path = replacement_path(path)
    fresh = os.open(fresh_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with mmap.mmap(fd, end, prot=mmap.PROT_READ) as old:
            for piece in list(_pieces(old, limit_bytes // _KEPT_SHARE)):
                if isinstance(piece, bytes):
                    _write(fresh, piece, 0, len(piece))
                else:
                    _write(fresh, old, *piece)
        os.fdatasync(fresh)
        fresh_path.replace(path)
    except BaseException:
        os.close(fresh)
        fresh_path.unlink(missing_ok=True)
        raise
    return fresh


def is_shortened(fd: int, end: int) -> bool:
    """Tell whether lines were left out of a journal (some 10 ms for 64 MiB)."""
    if not end:
        return False
    with mmap.mmap(fd, end, prot=mmap.PROT_READ) as data:
        return any(is_gap(line) for _, line in list(_others(data, 0, end)))


def _pieces(old: mmap.mmap, kept_bytes: int) -> Iterator[Range | bytes]:
    """Give what the new journal consists of: ranges of the old one, and gaps."""
    end = len(old)
    head_end = _last_border(old, kept_bytes)
    tail_begin = _first_border(old, end - kept_bytes)
    if is_gap(_line_before(old, head_end)):  # it grows, instead of being followed by another
        head_end -= len(_line_before(old, head_end))
    yield 0, head_end
    position = head_end
    for kept in _kept_between(old, head_end, tail_begin):
        if position < kept[0]:
            yield _gap(old, position, kept[0])
        yield kept
        position = kept[1]
    if position < tail_begin:
        yield _gap(old, position, tail_begin)
    yield tail_begin, end


def _kept_between(old: mmap.mmap, begin: int, end: int) -> Iterator[Range]:
    """Give where the events stand that are neither log lines nor gaps."""
    for start, line in _others(old, begin, end):
        if not is_gap(line):
            yield start, start + len(line)


def _others(data: mmap.mmap, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Find the lines that are no log lines, and where they begin."""
    for position in positions_of_others_than_logs(data, begin, end):
        start = _last_border(data, position)
        yield start, data[start : _first_border(data, position)]


def _gap(old: mmap.mmap, begin: int, end: int) -> bytes:
    first = decode_line(old[begin : _first_border(old, begin + 1)])
    last = decode_line(_line_before(old, end))
    first_id = first.body.first_id if isinstance(first.body, BuildGap) else first.id
    gap = BuildGap(first_id=first_id, lines=last.id - first_id + 1)
    return encode_line(Event(id=last.id, build_id=last.build_id, time=last.time, body=gap))


def _line_before(data: mmap.mmap, end: int) -> bytes:
    return data[_last_border(data, end - 1) : end] if end else b""


def _last_border(data: mmap.mmap, position: int) -> int:
    """Find the last border between lines up to ``position``."""
    return data.rfind(b"\n", 0, position) + 1


def _first_border(data: mmap.mmap, position: int) -> int:
    """Find the first border between lines from ``position`` on."""
    return data.find(b"\n", max(0, position - 1)) + 1


def _write(fd: int, data: mmap.mmap | bytes, begin: int, end: int) -> None:
    for start in range(begin, end, _WRITE_BYTES):
        rest = data[start : min(start + _WRITE_BYTES, end)]
        while rest:
            rest = rest[os.write(fd, rest) :]
