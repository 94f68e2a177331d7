"""Copies logs to a store while builds run, and after a restart what had not been copied.

A copy follows the journal like any other reader: however slow or broken the store is, no build
notices. What keeps a copy from being complete is told (``problem``), and tried again where that may
help.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from configbuild.builds.records import BuildRecord
from configbuild.errors import NotFoundError
from configbuild.journal import Journals
from configbuild.logstore import LogCopy, LogOwner, LogStore, LogStoreError, StoredLog
from configbuild.model import BuildId

logger = logging.getLogger(__name__)

# While there is output, a copy is brought up to date this often: so much is lost at most if the
# disk is lost in the middle of a build.
_FLUSH_S = 2.0

# A store that did not take something is asked again after 2, 4, 8 … seconds.
_FIRST_RETRY_S = 2.0
_LAST_RETRY_S = 120.0

# How long copies may take to become complete when the operator stops; the next one goes on.
_LAST_WORDS_S = 3.0

# Copies at once of builds that have ended: after a restart, or once a store is set up, there may be
# thousands.
_CATCHING_UP = 4


@dataclass(slots=True, kw_only=True)
class _Making:
    """A copy that is being made; ``dropped`` is set once nobody wants it any more."""

    owner: LogOwner
    copy: LogCopy
    dropped: asyncio.Event = field(default_factory=asyncio.Event)


class LogCopies:
    """Makes the copies, while :meth:`run` does.

    ``noted`` is told how a copy stands, each time that has changed.
    """

    def __init__(
        self,
        *,
        store: LogStore,
        journals: Journals,
        noted: Callable[[LogOwner, StoredLog], None],
        flush_s: float = _FLUSH_S,
    ) -> None:
        self._store = store
        self._journals = journals
        self._noted = noted
        self._flush_s = flush_s
        self._makings: dict[BuildId, _Making] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)

    async def run(self) -> None:
        """Wait until cancelled; then copies have a moment to become complete."""
        try:
            await asyncio.Event().wait()
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_LAST_WORDS_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, owner: LogOwner) -> None:
        """Copy the log of a build that begins."""
        self._make(owner, None, self._copy)

    def catch_up(self, owner: LogOwner, record: BuildRecord) -> None:
        """Copy the log of a build that has ended, unless that was done, or there is no journal."""
        ours = record.log if record.log and record.log.store == self._store.name else None
        done = record.log is not None and record.log.complete
        if not done and self._journals.exists(record.id):
            self._make(owner, ours, self._copy_in_turn)

    def forget(self, record: BuildRecord) -> None:
        """Remove the copy of a log that is kept no longer."""
        making = self._makings.get(record.id)
        if making is not None:
            # Not cancelled: of what is being sent nobody would know whether it has arrived.
            making.dropped.set()
        if record.log is not None and record.log.store == self._store.name:
            owner = LogOwner(key=record.key, uid="", build_id=record.id)
            self._start(owner, self._remove(owner, record.log))

    def read(self, record: BuildRecord, after_id: int = 0) -> AsyncGenerator[bytes, None] | None:
        """Read a copy; see :meth:`.LogStore.read`. ``None`` if there is none in this store."""
        if record.log is None or record.log.store != self._store.name:
            return None
        owner = LogOwner(key=record.key, uid="", build_id=record.id)
        return self._store.read(owner, record.log, after_id)

    def _make(
        self,
        owner: LogOwner,
        earlier: StoredLog | None,
        work: Callable[[_Making], Coroutine[Any, Any, None]],
    ) -> None:
        making = _Making(owner=owner, copy=self._store.begin(owner, earlier))
        self._makings[owner.build_id] = making
        self._start(owner, self._make_or_drop(making, work))

    def _start(self, owner: LogOwner, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"log of {owner.build_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._ended(owner, task))

    def _ended(self, owner: LogOwner, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the log of %s is not copied", owner.build_id, exc_info=error)

    async def _make_or_drop(
        self, making: _Making, work: Callable[[_Making], Coroutine[Any, Any, None]]
    ) -> None:
        """Make a copy; what there is of one that was dropped meanwhile is removed."""
        owner = making.owner
        try:
            with suppress(NotFoundError):  # kept no longer
                await work(making)
        finally:
            if self._makings.get(owner.build_id) is making:
                del self._makings[owner.build_id]
        if making.dropped.is_set():
            await self._remove(owner, making.copy.stored())

    async def _copy(self, making: _Making) -> None:
        """Copy a log while it is written."""
        await self._follow(making)
        problem = await self._seal(making)
        if problem is not None and not problem.lasting:
            # Begun anew, so that nothing is held meanwhile: the journal has it all.
            making.copy = self._store.begin(making.owner, making.copy.stored())
            await self._copy_in_turn(making)

    async def _copy_in_turn(self, making: _Making) -> None:
        """Copy the log of a build that has ended, however long the store is away."""
        retry_s = _FIRST_RETRY_S
        async with self._catching_up:
            await self._follow(making)
            while (problem := await self._seal(making)) and not problem.lasting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(retry_s):
                        await making.dropped.wait()
                retry_s = min(2 * retry_s, _LAST_RETRY_S)

    async def _follow(self, making: _Making) -> None:
        """Take the journal as it grows, to its end."""
        owner, copy = making.owner, making.copy
        flushed_at, is_new = time.monotonic(), False
        blocks = self._journals.follow(owner.build_id, follow=True, idle_s=self._flush_s)
        async with aclosing(blocks):
            async for block in blocks:
                if making.dropped.is_set():
                    return
                began = time.monotonic()
                if block:
                    is_new = True
                    await copy.write(block)
                if is_new and time.monotonic() - flushed_at >= self._flush_s:
                    await self._flush(owner, copy)
                    flushed_at, is_new = time.monotonic(), False
                # In a flood this leaves the processor to the build half of the time.
                await asyncio.sleep(time.monotonic() - began)

    async def _flush(self, owner: LogOwner, copy: LogCopy) -> None:
        try:
            self._noted(owner, await copy.flush())
        except LogStoreError as error:
            logger.warning("%s; the copy goes on", error)
            self._noted(owner, copy.stored(error.message))

    async def _seal(self, making: _Making) -> LogStoreError | None:
        """Have all of an ended log in the store; gives what was in the way."""
        owner, copy = making.owner, making.copy
        if making.dropped.is_set():
            return None
        try:
            self._noted(owner, await copy.seal())
        except LogStoreError as error:
            ending = "the copy stays incomplete" if error.lasting else "trying again"
            logger.warning("%s; %s", error, ending)
            self._noted(owner, copy.stored(error.message))
            return error
        return None

    async def _remove(self, owner: LogOwner, stored: StoredLog) -> None:
        try:
            await self._store.remove(owner, stored)
        except LogStoreError as error:
            # Where it belongs to an object it goes with that; elsewhere it expires.
            logger.warning("%s", error)
