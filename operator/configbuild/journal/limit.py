"""Keeps a journal within its limit: its head and its tail stay, and a gap says what is between.

When a journal outgrows the limit, it is written anew without the log lines of its middle, and takes
the old one's place. All other events stay wherever they are. Ids stay what they are, so that a
reader's cursor means the same before and after; the ids that are left out are told by a
:class:`~configbuild.events.BuildGap` in their place.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from configbuild.events import is_gap
from configbuild.gaps import first_border, has_gap, last_border, line_before, without_logs

DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024

# Of the limit, for each end. What is left is for new lines, so that a journal is written anew once
# in every half of its limit, and what a flood costs is bounded by that: a byte copied for each new.
_KEPT_SHARE = 4

_WRITE_BYTES = 1024 * 1024


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
            _write_shortened(fresh, old, limit_bytes // _KEPT_SHARE)
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
        return has_gap(data)


def _write_shortened(fd: int, old: mmap.mmap, kept_bytes: int) -> None:
    end = len(old)
    head_end = last_border(old, kept_bytes)
    tail_begin = first_border(old, end - kept_bytes)
    if is_gap(line_before(old, head_end)):  # it grows, instead of being followed by another
        head_end -= len(line_before(old, head_end))
    middle = without_logs(old, head_end, tail_begin)
    _write(fd, old, 0, head_end)
    _write(fd, middle, 0, len(middle))
    _write(fd, old, tail_begin, end)


def _write(fd: int, data: mmap.mmap | bytes, begin: int, end: int) -> None:
    for start in range(begin, end, _WRITE_BYTES):
        rest = data[start : min(start + _WRITE_BYTES, end)]
        while rest:
            rest = rest[os.write(fd, rest) :]
