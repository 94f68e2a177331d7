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
from configbuild.kube.status import merge_patch, render_status
from configbuild.kube.workqueue import WorkQueue
from configbuild.model import BuildId, BuildStatus, ConfigKey

logger = logging.getLogger(__name__)

# Steps of a small build pass within a second; one write tells all of them. With the copy of its log
# a build of 10 s makes 20 writes at most, those of ConfigMaps and Events included.
_COALESCE_S = 1.0

# A place in the line changes with every end of a build; that it begins is told at once.
_COALESCE_WAITING_S = 2.0

# An API server that is down is asked again this soon; the status is right soon after it is back.
_RETRY_S = 2.0

_WORKERS = 4

# How often the last status of an object is tried, each time on what the object is by then.
_FLUSH_TRIES = 5

# How long an HTTP answer waits for the status to be written before it is given all the same.
_WAIT_S = 5.0


class BuildsView(Protocol):
    """What the writer reads of the application service."""

    def state(self, key: ConfigKey) -> ConfigState | None:
        """Look up what is known of a config."""

    def queue_position(self, build_id: BuildId) -> int | None:
        """Tell a waiting build's place."""


class StatusWriter:
    """Writes the status of each marked config until it says what is so."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        objects: ObjectCache,
        builds: Callable[[], BuildsView],
        gone: Callable[[Body], None],
    ) -> None:
        self._cluster = cluster
        self._objects = objects
        self._builds = builds
        self._gone = gone
        self._queue: WorkQueue[ConfigKey] = WorkQueue()
        self._written_at: dict[ConfigKey, float] = {}
        self._waiters: dict[ConfigKey, asyncio.Event] = {}

    def mark(self, key: ConfigKey) -> None:
        """Have the status of a config compared with the truth, and written if it differs."""
        loop = asyncio.get_running_loop()
        state = self._builds().state(key)
        if state is None or state.running is None:
            self._queue.add(key)
            return
        waits = state.running.record.status is BuildStatus.QUEUED
        coalesce_s = _COALESCE_WAITING_S if waits else _COALESCE_S
        wait_s = self._written_at.get(key, 0.0) + coalesce_s - loop.time()
        if wait_s <= 0:
            self._queue.add(key)
        else:
            self._queue.add_after(key, wait_s)

    async def wait_until_written(self, record: BuildRecord) -> None:
        """Wait until the object's status names a build, so that a restart would find it.

        Bounded: an API server that is down delays an answer and forbids none.
        """
        self.mark(record.key)
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
        self._written_at[key] = asyncio.get_running_loop().time()
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
        """Read an object that has moved on since it was seen last."""
        body = await self._cluster.get_configbuild(key)
        if body is not None:
            self._objects.put(body)
            return
        gone = self._objects.get(key)
        if gone is not None:
            self._gone(gone)
