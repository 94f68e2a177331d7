"""Puts the parts of a stored log together again, with gaps for what is missing. Pure."""

from __future__ import annotations

from configbuild.events import BuildGap, Event, decode_line, line_id
from configbuild.gaps import first_border, gap_line, line_before


class Joint:
    """Takes the parts of a log in their order, and gives what lies behind a cursor.

    The cursor moves with what was given, so that a part which has grown can be joined again.
    """

    def __init__(self, after_id: int) -> None:
        self._after_id = after_id
        self._last: Event | None = None

    def join(self, lines: bytes) -> bytes:
        """Give the lines of the next part that lie behind the cursor, after the gap before them."""
        if not lines:
            return b""
        first = decode_line(lines[: first_border(lines, 1)])
        gap = self._gap_before(first)
        offset = _offset_behind(lines, self._after_id)
        self._last = decode_line(line_before(lines, len(lines)))
        self._after_id = max(self._after_id, self._last.id)
        return gap + lines[offset:] if offset < len(lines) else b""

    def _gap_before(self, first: Event) -> bytes:
        """Tell of the ids since the last part, unless the reader has them or they are told of."""
        expected = self._last.id + 1 if self._last is not None else 1
        begins = first.body.first_id if isinstance(first.body, BuildGap) else first.id
        if begins == expected or begins - 1 <= self._after_id:
            return b""
        return gap_line(self._last or first, expected, begins - 1)


def _offset_behind(lines: bytes, after_id: int) -> int:
    """Find where the first line with a higher id begins, by bisection."""
    begin, end = 0, len(lines)
    while begin < end:
        middle = lines.rfind(b"\n", 0, (begin + end) // 2) + 1
        middle = max(begin, middle)
        if line_id(lines[middle : middle + 64]) > after_id:
            end = middle
        else:
            begin = first_border(lines, middle + 1)
    return end
