"""From what a failed command wrote to what its author should read first. Pure."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path

# Lines of uv and pip that follow the reason and do not say it.
_ASIDES = ("hint:", "note:", "warning:", "[notice]", "╰─>", "[end of output]")

# What uv and pip say of a build back end that failed; the reason is the back end's last word.
_BACKEND_FAILED = ("error: Failed to build", "error: subprocess-exited-with-error")


DISK_FULL = "DiskFull"

# What uv and pip say of networks and disks. Such a failure says nothing of the spec, and may pass.
_PASSING = (
    (
        DISK_FULL,
        re.compile(r"No space left on device|Disk quota exceeded"),
    ),
    (
        "IndexUnreachable",
        re.compile(
            r"error sending request|client error \(Connect\)|dns error|Connection (refused|reset)"
            r"|operation timed out|NewConnectionError|ConnectTimeoutError|ReadTimeoutError"
            r"|RemoteDisconnected|Temporary failure in name resolution"
            r"|HTTP (status server )?error \(?50[0234]|50[0234] Server Error"
        ),
    ),
)


def passing_reason(lines: Sequence[str]) -> str | None:
    """Give the reason of a failure that may pass by itself; ``None`` for all others."""
    for reason, pattern in _PASSING:
        if any(pattern.search(line) for line in lines):
            return reason
    return None


def is_disk_full(error: Exception) -> bool:
    """Tell whether a call of our own failed since a volume, or a quota on it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


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
    # uv has verbs below its verb pip; all else that follows is options and names.
    verbs = words[1:3] if words[1:2] == ["pip"] else words[1:2]
    return " ".join([words[0], *(word for word in verbs if not word.startswith("-"))])
