"""Say at intervals that something long is still going on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Report: TypeAlias = Callable[[str], None]
"""Takes one line, without its newline."""

# Short enough that nobody takes the silence for a hang.
INTERVAL_S = 10.0


def to_stderr(line: str) -> None:
    """Print one line to standard error at once."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def heartbeat(what: str, report: Report, *, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Report `what` now, and again with the seconds gone until the block ends."""
    begin = time.monotonic()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(interval_s):
            report(f"{what}: {time.monotonic() - begin:.0f} s")

    report(what)
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
