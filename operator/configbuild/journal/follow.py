"""Following a journal while it is written: what there is, then what comes, without gap or double.

A follower holds an offset and nothing else. It reads the file whenever :class:`Progress` says that
there is more; so however slow or many followers are, the writer never waits and nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from configbuild.journal.offsets import find_offset, last_line, opened, read_block
from configbuild.journal.recovery import ends_build, sound_end

# Followers are woken at once when there was silence, and at most so often in a flood. Measured with
# 100 viewers and 1,000 lines/s: 2.0 cores if each line wakes, 0.35 at 5 ms, 0.22 at 20 ms.
WAKE_INTERVAL_S = 0.01


class Progress:
    """How far a journal is written, and whether more will come.

    Its writer reports from any thread; followers wait in one event loop. No wake-up can be lost:
    a follower takes :attr:`changed` *before* it looks at :attr:`ended` and :attr:`size`, and waits
    for that very event; a writer reports *after* it has written. There is one wake-up under way at
    most, however many lines and followers.
    """

    def __init__(self, size: int, *, ended: bool = False) -> None:
        self.size = size
        self.ended = ended
        self.changed = asyncio.Event()
        self.followers = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_up_under_way = False
        self._last_wake_up = float("-inf")

    def advance(self, size: int, *, ended: bool = False) -> None:
        """Report whole lines up to ``size``; called by one thread at a time."""
        self.size = size
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
            self.changed = asyncio.Event()
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1

    def _wake_in_time(self) -> None:
        assert self._loop is not None
        due = self._last_wake_up + WAKE_INTERVAL_S
        if due > self._loop.time():
            self._loop.call_at(due, self._wake)
        else:
            self._wake()

    def _wake(self) -> None:
        assert self._loop is not None
        self._last_wake_up = self._loop.time()
        self._wake_up_under_way = False  # before anybody looks: what comes now needs another
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


async def follow_journal(
    path: Path, progress: Progress | None, *, after_id: int, wait: bool, idle_s: float | None
) -> AsyncGenerator[bytes, None]:
    """Yield blocks of whole lines with ids above ``after_id``; see ``Journals.follow``.

    Without ``progress`` nobody writes the journal: it ends where it ends.
    """
    with opened(path) as fd, progress.followed() if progress else nullcontext():
        offset = 0
        at_cursor = False  # whether a line was found that lies behind the cursor
        while True:
            changed = progress.changed if progress else None
            ended = progress.ended if progress else True
            end = progress.size if progress else sound_end(fd)
            if not at_cursor:
                offset = find_offset(fd, after_id, begin=offset, end=end)
            while block := read_block(fd, offset, end):
                offset, at_cursor = offset + len(block), True
                yield block
                await asyncio.sleep(0)  # else a reader whose send never blocks holds the loop
            if not wait or ended or not changed:
                break
            if not await _wait(changed, idle_s):
                yield b""
        if not at_cursor and end and ends_build(last := last_line(fd, end)):
            yield last


async def _wait(changed: asyncio.Event, idle_s: float | None) -> bool:
    """Wait for a change; false if none came in time. Not wait_for(), which loses some on 3.11."""
    try:
        async with asyncio.timeout(idle_s):
            await changed.wait()
    except TimeoutError:
        return False
    return True
