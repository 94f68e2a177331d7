"""Makes a journal whole again after a crash: what cannot be trusted at its end is cut off."""

from __future__ import annotations

import os

from configbuild.events import Event, decode_line, line_id
from configbuild.journal.reader import end_of_whole_lines, last_line, line_start

# So much of the end is checked line by line. Everything before the last step's end was synced, and
# the kernel writes a file's pages back within about 30 s, so damage lies at the end.
_CHECKED_BYTES = 1024 * 1024


def recover(fd: int) -> tuple[int, Event | None]:
    """Cut off a torn tail; give the journal's size and its last event.

    Torn is a line without its newline, and whatever follows a line that is no event or breaks the
    sequence of ids: after a power failure a file may have holes. Changes nothing if all is well.
    """
    end = end_of_whole_lines(fd)
    while (sound := _sound_end(fd, end)) < end:
        end = sound
    last = decode_line(last_line(fd, end)) if end else None
    if os.fstat(fd).st_size != end:
        os.ftruncate(fd, end)
        os.fdatasync(fd)
    return end, last


def _sound_end(fd: int, end: int) -> int:
    """Find where the sound lines end, of those in the last part that is checked."""
    begin = max(0, end - _CHECKED_BYTES)
    offset = line_start(fd, begin + 1) if begin else 0
    expected = None
    for line in os.pread(fd, end - offset, offset).splitlines(keepends=True):
        try:
            found = line_id(line)
            last = offset + len(line) == end
            if last:
                decode_line(line)
        except ValueError:
            return offset
        if expected not in (None, found):
            return offset
        expected = found + 1
        offset += len(line)
    return offset
