"""What the demo prints: for people, in 80 columns, every command as it can be typed."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_WIDTH = 80


class DemoError(Exception):
    """Something was not as the demo says it is."""


@dataclass
class Show:
    """Prints scenes and keeps the time of each."""

    times: list[tuple[str, float]] = field(default_factory=list)
    colour: bool = field(default_factory=sys.stdout.isatty)

    @contextmanager
    def scene(self, title: str, what: str) -> Iterator[None]:
        """Head a scene, and time it."""
        self.line()
        self.line(self._bold(f"== {title} ".ljust(_WIDTH, "=")))
        started = time.monotonic()
        yield
        self.times.append((what, time.monotonic() - started))

    def say(self, text: str) -> None:
        """Tell what happens."""
        self.line(text)

    def command(self, *argv: str) -> None:
        """Show a command, as it could be typed."""
        self.line(self._bold(f"$ {shlex.join(argv)}"))

    def output(self, text: str) -> None:
        """Show what a command printed, no line wider than the terminal."""
        for line in text.rstrip("\n").splitlines():
            self.line("  " + (line if len(line) <= _WIDTH - 2 else line[: _WIDTH - 3] + "…"))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Show rows in columns."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.line("  " + "  ".join(cells).rstrip())

    def line(self, text: str = "") -> None:
        """Print a line at once, also into a pipe."""
        print(text, flush=True)

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.colour else text


def expect(fact: object, what: str) -> None:
    """Hold the demo to what it says."""
    if not fact:
        raise DemoError(f"this should be so and is not: {what}")
