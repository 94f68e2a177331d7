"""The end of a log file, for error messages."""

from __future__ import annotations

from pathlib import Path

# Enough for the last lines of any component, small enough for a terminal.
TAIL_BYTES = 6_000
TAIL_LINES = 30


def tail(log: Path, *, since: int = 0) -> str:
    """Return the last lines of `log`, none of them from before the byte offset `since`."""
    try:
        with log.open("rb") as stream:
            end = stream.seek(0, 2)
            stream.seek(max(since, end - TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-TAIL_LINES:]) or "(empty log)"
