"""How a command, its end and a line of its output are told. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

# A line quoted in a message: two or three lines of a terminal. pip lists all versions that there
# are, uv its whole derivation; both say what matters first.
QUOTE_CHARACTERS = 300

# Lines of uv and pip that follow the reason and do not say it.
_ASIDES = ("hint:", "note:", "warning:", "[notice]", "╰─>", "[end of output]")

_ELLIPSIS = "…"

# All that str.splitlines() breaks at, and runs of blanks: a table shows one line.
_BLANKS = re.compile(r"\s+|[\x1c-\x1e\x85\u2028\u2029]+")


def quoted(line: str, *, limit: int = QUOTE_CHARACTERS) -> str:
    """Write a line of output for a message: blanks made one, cut to ``limit`` characters."""
    # Cut before it is searched too: a line may have 64 KiB.
    short = _BLANKS.sub(" ", line[: 4 * limit]).strip()
    return short if len(short) <= limit else short[: limit - 1].rstrip() + _ELLIPSIS


def last_words(lines: Sequence[str]) -> str | None:
    """Choose the line that a tool ended with; ``None`` if nothing was written.

    Tools end with their conclusion, so that is the last line that is no aside.
    """
    said = [line.strip() for line in lines if line.strip()]
    telling = [line for line in said if not line.startswith(_ASIDES)]
    return telling[-1] if telling else None


def how_it_ended(exit_code: int, signal: int | None) -> str:
    """Say how a command ended."""
    return f"was ended by signal {signal}" if signal else f"exited with {exit_code}"


def with_hint(message: str, hint: str | None) -> str:
    """Put a hint into the first line of a message: tables show no other line."""
    if not hint:
        return message
    first, newline, rest = message.partition("\n")
    return f"{first} (hint: {hint}){newline}{rest}"


def command_title(argv: Sequence[str]) -> str:
    """Name a command as a person would: its program and its verb, e.g. ``uv pip install``."""
    words = [Path(argv[0]).name, *argv[1:]]
    scripts = [Path(word).stem for word in argv[1:6] if word.endswith(".py")]
    if len(argv) > 3 and tuple(argv[1:3]) == ("-I", "-m"):
        words = list(argv[3:])
    elif scripts:
        return scripts[0]
    # uv has verbs below its verb pip; all else that follows is options and names.
    verbs = words[1:3] if words[1:2] == ["pip"] else words[1:2]
    return " ".join([words[0], *(word for word in verbs if not word.startswith(("-", "/")))])
