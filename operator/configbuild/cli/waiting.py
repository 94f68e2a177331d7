"""Shows a build in the cluster to who waits for its end: on a terminal live, else line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from rich.text import Text

from configbuild.cli.follow import Follower
from configbuild.cli.live import LiveSteps, drawn, print_failure, terminal_console
from configbuild.cli.progress import write_lines
from configbuild.cli.text import failure, lines_of
from configbuild.events import BuildStep, decode_line
from configbuild.model import BuildStatus
from configbuild.outcome import REUSED

# The type of an event and nothing else, since a string's own quotes would be escaped; it comes
# before whatever a build can choose.
_STEP = f'"type":"{BuildStep.TYPE}"'.encode()
_LINE_HEAD_BYTES = 300


def on_terminal() -> bool:
    """Tell whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def show_live(follower: Follower, blocks: Iterator[bytes], title: str) -> None:
    """Draw the steps until the build's end, then say how it ended."""
    console = terminal_console()
    console.print(Text(f"Waiting for the build of {title}", "bold"))
    steps = LiveSteps(console, alive=True)
    steps.start()
    try:
        for block in blocks:
            steps.feed(block)
    finally:
        steps.stop()
    ended = follower.completed
    assert ended is not None
    console.print()
    if ended.status is not BuildStatus.ACTIVE:
        print_failure(console, steps, ("build", follower.build_id))
        return
    words = REUSED if ended.summary == REUSED else f"Built {title} in {steps.took}"
    console.print(Text(drawn(console, f"✓ {words}: {follower.build_id}"), "bold green"))


def show_plainly(follower: Follower, blocks: Iterator[bytes]) -> None:
    """Write a line for each begin and end of a step, and at last how the build ended."""
    for block in blocks:
        lines = [line for line in block.split(b"\n") if _STEP in line[:_LINE_HEAD_BYTES]]
        if follower.completed is None or follower.completed.summary != REUSED:
            # The steps of a build that is used again are no news.
            write_lines(*(text for line in lines for text in lines_of(decode_line(line))))
    assert follower.completed is not None
    write_lines(f"{follower.build_id}: {follower.completed.summary}")
    write_lines(*failure(follower.completed))
