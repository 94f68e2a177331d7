"""What the operator's process asks of Python and of the C library: fewer looks, and memory back."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made between two looks of the collector (Python: 700). Nearly all that is made here stays,
# so it finds nothing: with 5,000 ConfigBuilds it took 2.5 s of a start that takes 13.
_GC_THRESHOLD = 20_000

# How long a thread that reads a build's output keeps the interpreter from the event loop (Python:
# 5 ms). Measured while one floods, on a busy machine: p50, p90 and p99 of the delay of the loop are
# 0.57, 1.4 and 4.5 ms with 0.5 ms, and 0.40, 1.0 and 3.0 with 0.1 ms; 0.05 ms is no better. The
# throughput is the same. Not at all times: a restart with 5,000 ConfigBuilds, whose threads read
# small files, took a tenth to a fifth less processor time with 5 ms.
_BRIEF_TURN_S = 0.0001

# What lies free at the end of a heap goes back to the system from this size on. glibc begins with
# the same and raises it with each large block that is freed: pages of a list, of megabytes, have it
# keep all that they took. Measured with 2,000 ConfigBuilds at rest: 173 MiB resident without this,
# 151 to 162 with it.
_TRIM_THRESHOLD_BYTES = 128 * 1024
_M_TRIM_THRESHOLD = -1


def tune() -> None:
    """Set what holds for good. Source: mallopt(3), which C libraries other than glibc lack."""
    gc.set_threshold(_GC_THRESHOLD)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


class _BriefTurns:
    """How many want turns to be brief, and how long they were before the first did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before_s = 0.0

    def begin(self) -> None:
        with self._lock:
            if self._count == 0:
                self._before_s = sys.getswitchinterval()
                sys.setswitchinterval(_BRIEF_TURN_S)
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                sys.setswitchinterval(self._before_s)


_brief_turns = _BriefTurns()


@contextmanager
def brief_turns() -> Iterator[None]:
    """Have threads hand the interpreter over soon, while this is entered by any of them."""
    _brief_turns.begin()
    try:
        yield
    finally:
        _brief_turns.end()
