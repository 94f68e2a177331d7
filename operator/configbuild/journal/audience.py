"""Followers that have all there is: what is new is read once and handed to all of them.

A follower that is behind, or slow, reads for itself (:mod:`configbuild.journal.follow`). One that
has caught up needs no turn of the event loop of its own, and no read: with a hundred of them those
took three quarters of the time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from configbuild.journal.offsets import BLOCK_BYTES

Take = Callable[[bytes], bool]
"""Takes a block at once, or not at all: then it is false. Called in the followers' loop."""


class Place(Protocol):
    """Where a follower stands."""

    @property
    def fd(self) -> int:
        """The file that it reads."""

    @property
    def inode(self) -> int:
        """Which file that is."""

    @property
    def offset(self) -> int:
        """So far it has read."""

    def passed(self, block: bytes) -> None:
        """Take note that it has got a block, which begins at its offset."""


class _Seat:
    """A follower that waits to be handed what comes."""

    __slots__ = ("heard_at", "left", "place", "take")

    def __init__(self, place: Place, take: Take, loop: asyncio.AbstractEventLoop) -> None:
        self.place = place
        self.take = take
        self.heard_at = loop.time()
        self.left: asyncio.Future[bool] = loop.create_future()

    def leave(self, *, for_more: bool) -> None:
        if not self.left.done():
            self.left.set_result(for_more)

    def fail(self, error: Exception) -> None:
        if not self.left.done():
            self.left.set_exception(error)


class Audience:
    """All followers of one journal that have caught up; they belong to one event loop."""

    def __init__(self) -> None:
        self._seats: set[_Seat] = set()

    async def attend(self, place: Place, take: Take, idle_s: float | None) -> bool:
        """Have ``take`` handed all that comes behind a place, for as long as that can be done.

        True once there is something that the follower has to read for itself: it was too much at
        once, ``take`` did not take it, it lies in another file, or the journal has ended. False if
        nothing came for ``idle_s`` seconds. The place is moved on. What reading or ``take`` raises
        comes out of here. Cancelled, it leaves nothing behind.
        """
        loop = asyncio.get_running_loop()
        seat = _Seat(place, take, loop)
        timer: asyncio.TimerHandle | None = None

        def see_whether_it_is_silent(limit_s: float) -> None:
            nonlocal timer
            left_s = seat.heard_at + limit_s - loop.time()
            if left_s > 0:
                timer = loop.call_later(left_s, see_whether_it_is_silent, limit_s)
            else:
                seat.leave(for_more=False)

        if idle_s is not None:
            timer = loop.call_later(idle_s, see_whether_it_is_silent, idle_s)
        self._seats.add(seat)
        try:
            return await seat.left
        finally:
            self._seats.discard(seat)
            if timer is not None:
                timer.cancel()

    def tell(self, inode: int, end: int, *, ended: bool) -> None:
        """Hand over what is new up to ``end`` in a file; to be called in the followers' loop."""
        if not self._seats:
            return
        now = asyncio.get_running_loop().time()
        block, begin = b"", -1
        for seat in tuple(self._seats):
            place = seat.place
            if ended or place.inode != inode or end - place.offset > BLOCK_BYTES:
                seat.leave(for_more=True)
                continue
            try:
                if place.offset != begin:  # most often all are at the same
                    begin = place.offset
                    block = os.pread(place.fd, end - begin, begin)
                if block and not seat.left.done():
                    if seat.take(block):
                        seat.heard_at = now
                        place.passed(block)
                    else:
                        seat.leave(for_more=True)
            except Exception as error:  # noqa: BLE001 - it is this follower's, and no other's
                seat.fail(error)
