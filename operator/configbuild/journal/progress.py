"""How far a journal is written, told by its writer in any thread to followers in an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from configbuild.journal.audience import Audience
from configbuild.journal.offsets import end_of_whole_lines

# Followers are woken at once when there was silence, and at most so often in a flood. Measured with
# 100 viewers and 1,000 lines/s, when each still read for itself: 2.0 cores if each line wakes, 0.35
# at 5 ms, 0.22 at 20 ms.
WAKE_INTERVAL_S = 0.01

# So many followers are woken a second at most, all together. One that is handed what comes costs
# the event loop some 20 µs, a send the most of it; one that reads for itself four times that. This
# keeps a crowd to a quarter of a core. Two hundred are woken every 20 ms.
WAKES_PER_S = 10_000


class Change:
    """Something that happens once, to be waited for with or without a limit, in one event loop.

    An ``asyncio.Event`` whose :meth:`wait` has the limit built in: with ``asyncio.timeout`` around
    it, a wait takes 12 µs instead of 8, and there are thousands a second.
    ``asyncio.wait_for`` loses wake-ups on Python 3.11.
    """

    def __init__(self) -> None:
        self._happened = False
        self._waiting: set[asyncio.Future[bool]] = set()

    @property
    def happened(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def happen(self) -> None:
        """Wake all who wait; who comes later does not wait."""
        self._happened = True
        for waiter in self._waiting:
            _answer(waiter, True)

    async def wait(self, limit_s: float | None) -> bool:
        """Wait until it happens; false if it does not within ``limit_s`` seconds."""
        if self._happened:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = None if limit_s is None else loop.call_later(limit_s, _answer, waiter, False)
        self._waiting.add(waiter)
        try:
            return await waiter
        finally:
            self._waiting.discard(waiter)
            if timer is not None:
                timer.cancel()


def _answer(waiter: asyncio.Future[bool], happened: bool) -> None:  # noqa: FBT001 - a callback's
    if not waiter.done():
        waiter.set_result(happened)


class Progress:
    """How far a journal is written, and whether more will come.

    Its writer reports from any thread; followers wait in one event loop. No wake-up can be lost:
    a follower takes :attr:`changed` *before* it looks at :attr:`ended` and :attr:`size`, and waits
    for that very event; a writer reports *after* it has written. There is one wake-up under way at
    most, however many lines and followers.

    A journal that is shortened goes on in another file. So a size holds for one file only, and both
    change together.
    """

    def __init__(self, fd: int, size: int, *, ended: bool = False) -> None:
        self._written = os.fstat(fd).st_ino, size
        self.ended = ended
        self.changed = Change()
        self.audience = Audience()
        self.followers = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_up_under_way = False
        self._last_wake_up = float("-inf")

    @property
    def size(self) -> int:
        """How many bytes the journal has."""
        return self._written[1]

    def end_in(self, fd: int) -> int:
        """Tell how far an open file of the journal is written, be it the present one or not."""
        inode, size = self._written
        # The file before is complete, and so is the one that is about to take its place.
        return size if os.fstat(fd).st_ino == inode else end_of_whole_lines(fd)

    def is_in(self, fd: int) -> bool:
        """Tell whether an open file is the one that is written now."""
        return os.fstat(fd).st_ino == self._written[0]

    def replace(self, fd: int, size: int) -> None:
        """Report that the journal goes on in another file."""
        self._written = os.fstat(fd).st_ino, size

    @property
    def wake_interval_s(self) -> float:
        """The least time between two wake-ups, the longer the more followers there are."""
        return max(WAKE_INTERVAL_S, self.followers / WAKES_PER_S)

    def end(self) -> None:
        """Report that nothing more will come."""
        self.advance(self.size, ended=True)

    def advance(self, size: int, *, ended: bool = False) -> None:
        """Report whole lines up to ``size``; called by one thread at a time."""
        self._written = self._written[0], size
        self.ended = self.ended or ended  # after the size: who sees it ended sees all of it
        if self.followers and self._loop and not self._wake_up_under_way:
            self._wake_up_under_way = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._wake_in_time)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Count a follower in, so that it is woken; to be entered in its event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._wake_up_under_way = loop, False
            self.changed, self.audience = Change(), Audience()
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1

    def _wake_in_time(self) -> None:
        assert self._loop is not None
        due = self._last_wake_up + self.wake_interval_s
        if due > self._loop.time():
            self._loop.call_at(due, self._wake)
        else:
            self._wake()

    def _wake(self) -> None:
        assert self._loop is not None
        self._last_wake_up = self._loop.time()
        self._wake_up_under_way = False  # before anybody looks: what comes now needs another
        changed, self.changed = self.changed, Change()
        changed.happen()
        ended = self.ended  # before the size, as a follower does
        inode, size = self._written
        self.audience.tell(inode, size, ended=ended)
