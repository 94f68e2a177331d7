"""How benchmarks print what they found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def print_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below headers: the first column to the left, numbers to the right."""
    cells = [list(headers), *([_text(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}\n")
    for number, row in enumerate(cells):
        first, *others = row
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *aligned]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def verdict(what: str, value: float, *, at_least: float) -> str:
    """Say in one line whether a target was met."""
    word = "met" if value >= at_least else "MISSED"
    return f"{word}: {what} {_text(value)}, target at least {_text(at_least)}"


def memory_mib(kind: str = "VmRSS") -> float:
    """This process's resident memory now (``VmRSS``) or at its highest (``VmHWM``)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == kind:
            return int(value.split()[0]) / 1024
    raise LookupError(f"no {kind} in /proc/self/status")


def reset_highest_memory() -> None:
    """Have ``VmHWM`` count from now; see proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")


def _text(value: object) -> str:
    match value:
        case float() if abs(value) < 100:
            return f"{value:.2f}"
        case int() | float():
            return f"{value:,.0f}"
        case _:
            return str(value)
