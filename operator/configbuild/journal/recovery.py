"""Tells how far a journal can be trusted after a crash, and makes it whole again."""

from __future__ import annotations

import os

from configbuild.events import BuildCompleted, BuildGap, Event, decode_line, is_gap, line_id
from configbuild.journal.offsets import end_of_whole_lines, last_line, line_start

# So much of the end is checked line by line. Everything before the last step's end was synced, and
# the kernel writes a file's pages back within about 30 s, so damage lies at the end.
_CHECKED_BYTES = 1024 * 1024


def recover(fd: int) -> tuple[int, Event | None]:
    """Cut off what cannot be trusted; give the journal's size and its last event.

    Changes nothing if all is well.
    """
    end = _trusted(fd, end_of_whole_lines(fd))
    if os.fstat(fd).st_size != end:
        os.ftruncate(fd, end)
        os.fdatasync(fd)
    return end, decode_line(last_line(fd, end)) if end else None


def sound_end(fd: int) -> int:
    """Find how far a journal without a writer can be read."""
    end = end_of_whole_lines(fd)
    if end and ends_build(last_line(fd, end)):  # it was synced, and all before it
        return end
    return _trusted(fd, end)


def ends_build(line: bytes) -> bool:
    """Tell whether a line is the last of a build."""
    try:
        return isinstance(decode_line(line).body, BuildCompleted)
    except ValueError:
        return False


def _trusted(fd: int, end: int) -> int:
    """Leave out whatever follows a line that is no event or breaks the sequence of ids.

    A torn line is not all that a crash can leave: after a power failure a file may have holes.
    """
    while (sound := _sound_part(fd, end)) < end:
        end = sound
    return end


def _sound_part(fd: int, end: int) -> int:
    """Find where the sound lines end, of those in the last part that is checked."""
    begin = max(0, end - _CHECKED_BYTES)
    offset = line_start(fd, begin + 1) if begin else 0
    expected = None
    for line in os.pread(fd, end - offset, offset).splitlines(keepends=True):
        try:
            first, last = _ids(line)
            if offset + len(line) == end:
                decode_line(line)
        except ValueError:
            return offset
        if expected not in (None, first):
            return offset
        expected = last + 1
        offset += len(line)
    return offset


def _ids(line: bytes) -> tuple[int, int]:
    """Read the first and the last id that a line stands for; ``ValueError`` if it has none."""
    if is_gap(line):
        event = decode_line(line)
        assert isinstance(event.body, BuildGap)
        return event.body.first_id, event.id
    found = line_id(line)
    return found, found
