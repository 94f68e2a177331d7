"""The one place that writes a status: coalesced, guarded by the version, silent when unchanged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from configbuild.builds.records import BuildRecord
from configbuild.builds.runner import TOLD_POSITIONS
from configbuild.builds.state import ConfigState
from configbuild.errors import ClusterError
from configbuild.kube.announcements import announcements
from configbuild.kube.client import Cluster
from configbuild.kube.objects import Body, ObjectCache
from configbuild.kube.status import merge_patch, only_counts, render_status
from configbuild.kube.workqueue import WorkQueue
from configbuild.logstore import StoredLog
from configbuild.model import BuildId, BuildStatus, ConfigKey

logger = logging.getLogger(__name__)

# While a build runs its status is written so often at most, and a step is told this long after it
# began, with all others that did meanwhile: those of a small build, and the last ones together with
# the end. With the copy of its log a build of 10 s makes 16 to 18 writes, ConfigMaps and Events
# included. That a build begins is not held back, and neither is what a copy of its log consists of:
# until that is told, readers do not trust what was written.
_COALESCE_S = 1.0

# A build that starts at once is told when it has, and not as one that waits: two writes less.
_START_S = 0.2

# How long the end of a build waits to be told in one write with that of the copy of its log; which
# takes some 20 ms where the API server is well.
_SEAL_S = 0.1

# How many lines the log has, which says little, is told with anything else, and alone this often.
_COUNTS_S = 10.0

# A place in the line changes with every end of a build; that it begins is told at once.
_COALESCE_WAITING_S = 2.0

# An API server that is down is asked again this soon; the status is right soon after it is back.
_RETRY_S = 2.0

_WORKERS = 4

# How often the last status of an object is tried, each time on what the object is by then.
_FLUSH_TRIES = 5

# How long an HTTP answer waits for the status to be written before it is given all the same.
_WAIT_S = 5.0


_Told = tuple[BuildId, BuildStatus, StoredLog | None]


def _told(newest: BuildRecord | None) -> _Told | None:
    """Sum up what is to be told of a build at once: all but its steps."""
    return None if newest is None else (newest.id, newest.status, newest.log)


class BuildsView(Protocol):
    """What the writer reads of the application service."""

    def state(self, key: ConfigKey) -> ConfigState | None:
        """Look up what is known of a config."""

    def queue_position(self, build_id: BuildId) -> int | None:
        """Tell a waiting build's place."""


class Observe(Protocol):
    """Takes note of an object."""

    def __call__(self, body: Body, *, deleted: bool = False) -> None:
        """See :meth:`.Reconciler.observe`."""


class StatusWriter:
    """Writes the status of each marked config until it says what is so."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        objects: ObjectCache,
        builds: Callable[[], BuildsView],
        observe: Observe,
    ) -> None:
        self._cluster = cluster
        self._objects = objects
        self._builds = builds
        self._observe = observe
        self._queue: WorkQueue[ConfigKey] = WorkQueue()
        self._written_at: dict[ConfigKey, float] = {}
        self._told: dict[ConfigKey, _Told | None] = {}
        self._waiters: dict[ConfigKey, asyncio.Event] = {}

    def mark(self, key: ConfigKey) -> None:
        """Have the status of a config compared with the truth, and written if it differs."""
        state = self._builds().state(key)
        wait_s = self._wait_s(key, state) if state is not None else 0.0
        if wait_s <= 0:
            self._queue.add(key)
        else:
            self._queue.add_after(key, wait_s)

    async def wait_until_written(self, record: BuildRecord) -> None:
        """Wait until the object's status names a build, so that a restart would find it.

        Bounded: an API server that is down delays an answer and forbids none.
        """
        self._queue.add(record.key)
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                while not self._names(record.key, record.id):
                    await self._waiters.setdefault(record.key, asyncio.Event()).wait()

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._queue.work(self._write_safely), name="status writer")

    async def flush(self) -> None:
        """Write what is marked, once, when nothing else will: at the operator's end."""
        for key in self._objects.keys():  # noqa: SIM118 - not a mapping
            # A write that was cut off may have moved the object on: then once more.
            for _ in range(_FLUSH_TRIES):
                if await self._write(key):
                    break

    def _wait_s(self, key: ConfigKey, state: ConfigState) -> float:
        """Tell how long a write may wait, so that it tells more than one thing."""
        newest, running = state.newest, state.running
        log = newest.log if newest is not None else None
        if running is None:
            return _SEAL_S if log is not None and log.is_open else 0.0
        since_s = asyncio.get_running_loop().time() - self._written_at.get(key, float("-inf"))
        if running.record.status is BuildStatus.QUEUED:
            told = self._told.get(key)
            is_new = newest is not None and (told is None or told[0] != newest.id)
            return max(_COALESCE_WAITING_S - since_s, _START_S if is_new else 0.0)
        if _told(newest) == self._told.get(key):
            return _COALESCE_S
        return _COALESCE_S - since_s

    def _names(self, key: ConfigKey, build_id: BuildId) -> bool:
        status = (self._objects.get(key) or {}).get("status") or {}
        known = [status.get("build") or {}, *(status.get("history") or [])]
        return any(row.get("id") == build_id for row in known)

    async def _write_safely(self, key: ConfigKey) -> None:
        try:
            await self._write(key)
        except Exception:
            # A defect of ours in one status must not end the work on all others.
            logger.exception("the status of %s was not written; trying again", key)
            self._queue.add_after(key, _RETRY_S)

    async def _write(self, key: ConfigKey) -> bool:
        """Write a status that differs; whether it now says what is so."""
        body, state = self._objects.get(key), self._builds().state(key)
        if body is None or state is None or state.uid != body["metadata"]["uid"]:
            self._written_at.pop(key, None)
            self._told.pop(key, None)
            return True
        if state.fingerprint is None and state.problem is None:
            # Not looked at yet since this process began: what stands was true, so it stands.
            return True
        old: dict[str, Any] = dict(body.get("status") or {})
        position = self._builds().queue_position(state.newest.id) if state.newest else None
        if position is not None and position > TOLD_POSITIONS:
            position = None
        new = render_status(state, queue_position=position, previous=old)
        patch = merge_patch(old, new)
        if not patch:
            return True
        now = asyncio.get_running_loop().time()
        counts_in_s = self._written_at.get(key, float("-inf")) + _COUNTS_S - now
        if state.running is not None and only_counts(patch) and counts_in_s > 0:
            self._queue.add_after(key, counts_in_s)
            return True
        self._written_at[key] = now
        self._told[key] = _told(state.newest)
        try:
            return await self._patch(key, body, patch, old, new)
        except ClusterError as error:
            logger.warning("%s; trying again", error)
            self._queue.add_after(key, _RETRY_S)
            return False

    async def _patch(
        self,
        key: ConfigKey,
        body: Body,
        patch: dict[str, Any],
        old: dict[str, Any],
        new: dict[str, Any],
    ) -> bool:
        version = body["metadata"]["resourceVersion"]
        written = await self._cluster.patch_status(key, patch, resource_version=version)
        if written is None:
            await self._refresh(key)
            self._queue.add(key)
            return False
        self._objects.put(written)
        if key in self._waiters:
            self._waiters.pop(key).set()
        for event in announcements(written, old, new):
            await self._cluster.create_event(key.namespace, event)
        return True

    async def _refresh(self, key: ConfigKey) -> None:
        """Read an object that has moved on since it was seen last.

        It is observed like any other: should an edit be what moved it on, nobody else tells of that
        once this version is known.
        """
        body = await self._cluster.get_configbuild(key)
        if body is not None:
            self._observe(body)
            return
        gone = self._objects.get(key)
        if gone is not None:
            self._observe(gone, deleted=True)
