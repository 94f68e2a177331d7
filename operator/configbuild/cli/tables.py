"""Tables of text that fit a terminal of 80 columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from configbuild.cli.text import printable
from configbuild.durations import format_duration

WIDTH = 80

_GAP = 2
_NARROWEST = 8


def table(
    rows: Sequence[Sequence[str]], *, flexible: Sequence[int] = (0,), width: int = WIDTH
) -> list[str]:
    """Line up the columns of ``rows``, which may begin with a heading.

    Where that is wider than ``width``, the cells of the ``flexible`` columns are cut, with an
    ellipsis in their middle: names of one family differ at both ends.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    for _ in range(excess):
        widest = max(flexible, key=lambda column: widths[column])
        # Never to nothing: a table is rather wide than without names.
        widths[widest] = max(_NARROWEST, widths[widest] - 1)
    lines = []
    for row in shown:
        cells = (shortened(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True))
        lines.append((" " * _GAP).join(cells).rstrip())
    return lines


def format_age(seconds: float) -> str:
    """Write how long ago something was, as briefly as a cell wants it: ``12s``, ``4m05s``, ``3d``.

    Clocks differ between machines: what lies a moment ahead is no age.
    """
    if seconds < 60:
        return f"{max(0.0, seconds):.0f}s"
    return format_duration(seconds) if seconds < 2 * 86400 else f"{seconds // 86400:.0f}d"


def shortened(text: str, width: int) -> str:
    """Cut the middle out of a text that is longer than ``width``."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
