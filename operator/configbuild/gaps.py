"""Leaves log lines out of a log, and says so in their place. Pure.

Works on encoded lines, of which there may be millions: nothing is parsed but what stands at the
borders of a gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from mmap import mmap

from configbuild.events import BuildGap, Event, decode_line, encode_line, is_gap

Encoded = bytes | mmap

# Within a string the quotes would be escaped, so this stands nowhere else.
_NO_LOG = re.compile(rb'"type":"build\.(?!log")')


def without_logs(data: Encoded, begin: int, end: int) -> bytes:
    """Give the lines between two borders without log lines; each run of them is one gap.

    Gaps that are there already become part of the new ones.
    """
    kept: list[bytes] = []
    position = begin
    for start, line in list(_others(data, begin, end)):
        if is_gap(line):
            continue
        if position < start:
            kept.append(_gap(data, position, start))
        kept.append(line)
        position = start + len(line)
    if position < end:
        kept.append(_gap(data, position, end))
    return b"".join(kept)


def has_gap(data: Encoded) -> bool:
    """Tell whether lines were left out (some 10 ms for 64 MiB)."""
    return any(is_gap(line) for _, line in list(_others(data, 0, len(data))))


def gap_line(beside: Event, first_id: int, last_id: int) -> bytes:
    """Tell of ids that are left out, as a line; with build and time of an event beside them."""
    gap = BuildGap(first_id=first_id, lines=last_id - first_id + 1)
    return encode_line(Event(id=last_id, build_id=beside.build_id, time=beside.time, body=gap))


def last_border(data: Encoded, position: int) -> int:
    """Find the last border between lines up to ``position``."""
    return data.rfind(b"\n", 0, position) + 1


def first_border(data: Encoded, position: int) -> int:
    """Find the first border between lines from ``position`` on."""
    return data.find(b"\n", max(0, position - 1)) + 1


def line_before(data: Encoded, end: int) -> bytes:
    """Give the line that ends at ``end``; empty at the beginning."""
    return bytes(data[last_border(data, end - 1) : end]) if end else b""


def _others(data: Encoded, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Find the lines that are no log lines, and where they begin."""
    for found in _NO_LOG.finditer(data, begin, end):
        start = last_border(data, found.start())
        yield start, bytes(data[start : first_border(data, found.start())])


def _gap(data: Encoded, begin: int, end: int) -> bytes:
    first = decode_line(bytes(data[begin : first_border(data, begin + 1)]))
    last = decode_line(line_before(data, end))
    first_id = first.body.first_id if isinstance(first.body, BuildGap) else first.id
    return gap_line(last, first_id, last.id)
