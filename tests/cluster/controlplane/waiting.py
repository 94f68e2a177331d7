"""Wait for something that can only be asked for, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# What is asked here answers within milliseconds; more often would only take CPU from it.
INTERVAL_S = 0.05


def wait_until(
    question: Callable[[], T | None], *, what: str, timeout_s: float, interval_s: float = INTERVAL_S
) -> T:
    """Ask until the answer is truthy, and return it.

    Raises:
        TimeoutError: it was not so within `timeout_s`; the message says `what`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(interval_s)
