"""From what a failed command wrote to what its author should read first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Lines of uv and pip that follow the reason and do not say it.
_ASIDES = ("hint:", "note:", "warning:", "[notice]", "╰─>", "[end of output]")

# What uv and pip say of a build back end that failed; the reason is the back end's last word.
_BACKEND_FAILED = ("error: Failed to build", "error: subprocess-exited-with-error")


def headline(lines: Sequence[str]) -> str | None:
    """Choose the one line that tells most of a failure; ``None`` if nothing was written.

    Tools end with their conclusion, so that is the last line that is no aside; only where a build
    back end failed, the line before uv's own summary tells more.
    """
    said = [line.strip() for line in lines if line.strip()]
    for index, line in enumerate(said):
        if index > 0 and line.startswith(_BACKEND_FAILED):
            return said[index - 1]
    telling = [line for line in said if not line.startswith(_ASIDES)]
    return telling[-1] if telling else None


def describe_failure(
    argv: Sequence[str], *, exit_code: int, signal: int | None, tail: Sequence[str]
) -> str:
    """Say how a command ended and quote its last lines; the first line alone tells most.

    Tables (``kubectl get``, Events) show no more than the first line.
    """
    how = f"was ended by signal {signal}" if signal else f"exited with {exit_code}"
    first = headline(tail)
    if first is None:
        return f"{command_title(argv)} {how}"
    return "\n".join([f"{command_title(argv)} {how}: {first}", *tail])


def command_title(argv: Sequence[str]) -> str:
    """Name a command as a person would: its program and its verb, e.g. ``uv pip install``."""
    words = [Path(argv[0]).name, *argv[1:]]
    scripts = [Path(word).stem for word in argv[1:6] if word.endswith(".py")]
    if len(argv) > 3 and tuple(argv[1:3]) == ("-I", "-m"):
        words = list(argv[3:])
    elif scripts:
        return scripts[0]
    verbs = [word for word in words[1:3] if not word.startswith("-") and "/" not in word]
    return " ".join([words[0], *verbs])
