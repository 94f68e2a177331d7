"""How benchmarks print what they found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One result: ours, a baseline's from the same run, and what was promised.

    ``ratio`` is ours to the baseline's; ``target`` says in words what ``met`` means.
    """

    what: str
    unit: str
    ours: float
    baseline: float | None = None
    ratio: float | None = None
    target: str
    met: bool


def print_figures(figures: Sequence[Figure], *, title: str = "Figures") -> None:
    """Print figures beside their targets, and how busy the machine is that gave them."""
    print_table(
        title,
        ["figure", "unit", "ours", "baseline", "ratio", "target", "word"],
        [
            (
                figure.what,
                figure.unit,
                figure.ours,
                "-" if figure.baseline is None else figure.baseline,
                "-" if figure.ratio is None else figure.ratio,
                figure.target,
                "met" if figure.met else "MISSED",
            )
            for figure in figures
        ],
    )
    print(f"\n{machine()}")


def machine() -> str:
    """Say what the machine has to work with, and how much of it others want."""
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{len(os.sched_getaffinity(0))} processors; load over 1, 5, 15 minutes: {load}"
        " (this benchmark's own included)"
    )


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
