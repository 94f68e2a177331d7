"""Keys to work on: each is in line at most once and worked on by at most one worker.

The semantics are those of client-go's workqueue, which controllers have relied on for years: a key
that is added while it is being worked on comes again afterwards, so no change is ever missed and
none is worked on twice at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A queue of distinct keys; used within one event loop."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._drained = asyncio.Event()
        self._drained.set()

    def add(self, key: K) -> None:
        """Have ``key`` worked on soon."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        self._drained.clear()
        if key not in self._working:
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Have ``key`` worked on in ``delay_s``, or earlier if that was asked for before."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay_s:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay_s, self._fire, key)

    async def drained(self) -> None:
        """Wait until no key is in line or worked on; those of :meth:`add_after` are not yet."""
        await self._drained.wait()

    async def work(self, handle: Callable[[K], Awaitable[object]]) -> None:
        """Work on keys until cancelled; run as many of these as there shall be workers."""
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._working.add(key)
            try:
                await handle(key)
            finally:
                self._working.discard(key)
                if key in self._waiting:
                    self._ready.put_nowait(key)
                elif not self._waiting and not self._working:
                    self._drained.set()
            # One that had to wait for nothing has not let anybody else have a turn: with thousands
            # in line, streams would stand still meanwhile.
            await asyncio.sleep(0)

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
