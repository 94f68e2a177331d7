"""Ctrl-C and its kin: the first ends the build in order, the next this process where it stands.

After the second the launcher still ends every process of the build, and the next command brings
journal and folders in order.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Self

from configbuild.builds.attempt import Attempt

_SIGNALS = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "its terminal was closed (SIGHUP)",
}


class Interrupts:
    """Cancels an attempt when a signal asks for it, while it is entered (in the event loop).

    ``notify`` is told in words; ``received`` is the signal, ``None`` until there was one.
    """

    def __init__(self, attempt: Attempt, notify: Callable[[str], None]) -> None:
        self.received: signal.Signals | None = None
        self._attempt = attempt
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        # One that is ignored (nohup, a job in the background) stays so.
        self._watched = [
            number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
        ]

    def __enter__(self) -> Self:
        for number in self._watched:
            self._loop.add_signal_handler(number, self._cancel, number)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for number in self._watched:
            self._loop.remove_signal_handler(number)

    def _cancel(self, number: signal.Signals) -> None:
        self.received = number
        for other in self._watched:
            self._loop.remove_signal_handler(other)
            signal.signal(other, signal.SIG_DFL)
        self._attempt.cancel(_SIGNALS[number], reason="Canceled")
        self._notify("Canceling: ending all processes of the build (once more: at once)")
