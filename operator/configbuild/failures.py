"""From what a failed command wrote to what its author should read first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

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
