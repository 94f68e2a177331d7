"""The reconciler: from "something may have changed" to ensure, for every object, for ever.

It is level-based: an event says only which object to look at. What is lost (a watch that broke, an
event while the API server was down) is found again by a complete list every few minutes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from configbuild.builds.service import Builds
from configbuild.builds.state import Declared
from configbuild.errors import (
    ClusterError,
    JournalError,
    NotFoundError,
    QueueFullError,
    SourceError,
    SpecError,
    SuspendedError,
)
from configbuild.kube.client import Cluster, PermissionMissingError
from configbuild.kube.objects import Body, News, ObjectCache, key_of
from configbuild.kube.status_writer import StatusWriter
from configbuild.kube.workqueue import WorkQueue
from configbuild.model import ConfigKey

logger = logging.getLogger(__name__)

# The first sweep after a start waits until what is there has been looked at, and then for what
# comes at once: while thousands are in line for their first look, it would only keep them waiting.
_FIRST_SWEEP_S = 10.0
_FIRST_SWEEP_AT_LAST_S = 60.0

# Expiry and retries are matters of minutes and days; looking at 5,000 states takes milliseconds.
_CLOCK_S = 5.0

# Ensure mostly waits (for ConfigMaps, for a superseded build's end), so several keys at once.
_WORKERS = 16

# What fails for reasons of the cluster is tried again after 2, 4, 8 … seconds, at most 5 minutes.
_FIRST_RETRY_S = 2.0
_LAST_RETRY_S = 300.0


# After a build's last status is written; not at once, so that a source that is being edited is not
# built from again and again.
_LOOK_AFTER_BUILD_S = 2.0


class Reconciler:
    """Keeps every ConfigBuild of its namespaces as declared.

    It is the service's :class:`~configbuild.builds.service.Catalog` and its ``Listener``.
    ``namespaces`` empty means all.
    """

    def __init__(
        self, *, cluster: Cluster, namespaces: Sequence[str], relist_s: float = 300.0
    ) -> None:
        self._cluster = cluster
        self._relist_s = relist_s
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._objects = ObjectCache()
        self._queue: WorkQueue[ConfigKey] = WorkQueue()
        self._failures: dict[ConfigKey, int] = {}
        self._builds: Builds | None = None
        self.status_writer = StatusWriter(
            cluster=cluster,
            objects=self._objects,
            builds=lambda: self.builds,
            observe=self.observe,
        )

    @property
    def builds(self) -> Builds:
        """The application service; set once, before :meth:`run`."""
        assert self._builds is not None
        return self._builds

    @builds.setter
    def builds(self, builds: Builds) -> None:
        self._builds = builds

    def observe(self, body: Body, *, deleted: bool = False) -> None:
        """Take note of an object that a watch or a list showed; returns at once."""
        key = key_of(body)
        if deleted:
            if self._objects.remove(body):
                self._queue.add(key)
            return
        match self._objects.put(body):
            case News.DECLARATION:
                self._queue.add(key)
            case News.STATUS:
                # Perhaps somebody edited the status: it is compared, and put right.
                self.status_writer.mark(key)
            case News.NOTHING:
                # At a restart the list shows every object, and then the watch shows it again.
                pass

    async def declared(self, key: ConfigKey) -> Declared | None:
        """Give a config as last seen, or, if it was never seen, as the API server has it."""
        body = self._objects.get(key)
        if body is None and self._serves(key.namespace):
            try:
                body = await self._cluster.get_configbuild(key)
            except PermissionMissingError:
                # With a namespace the operator's rights may go before its objects do.
                if not self._objects.was_deleted(key):
                    raise
                return None
            if body is not None:
                self._objects.put(body)
        return self._objects.declared(key)

    def changed(self, key: ConfigKey) -> None:
        """Take note that the state of a config changed; its status follows."""
        self.status_writer.mark(key)

    def settled(self, key: ConfigKey) -> None:
        """Look at a config again whose build has ended: its source may have moved meanwhile."""
        self._queue.add_after(key, _LOOK_AFTER_BUILD_S)

    def phases(self) -> Iterator[str]:
        """Tell how each object stands, as far as its status says so."""
        for key in self._objects.keys():  # noqa: SIM118 - not a mapping
            body = self._objects.get(key) or {}
            yield str((body.get("status") or {}).get("phase", ""))

    async def list_all(self) -> dict[ConfigKey, str]:
        """Look at every object, and notice those that are gone; returns the uid of each.

        :class:`ClusterError` if the API server does not answer or a permission is missing.
        """
        before = self._objects.keys()
        listed: dict[ConfigKey, str] = {}
        for namespace in self._namespaces:
            async for body in self._cluster.list_configbuilds(namespace):
                listed[key_of(body)] = body["metadata"]["uid"]
                self.observe(body)
        for key in before - listed.keys():
            gone = self._objects.get(key)
            if gone is not None:
                self.observe(gone, deleted=True)
        return listed

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.status_writer.run(), name="status writers")
            group.create_task(self._relist(), name="relist")
            group.create_task(self._watch_the_clock(), name="clock")
            for _ in range(_WORKERS):
                group.create_task(self._queue.work(self._reconcile), name="reconciler")

    async def _relist(self) -> None:
        await self._settle_in()
        while True:
            try:
                listed = await self.list_all()
            except ClusterError as error:
                logger.warning("%s; the watch goes on", error)
            else:
                await self._tidy(listed)
            await asyncio.sleep(self._relist_s)

    async def _tidy(self, listed: Mapping[ConfigKey, str]) -> None:
        for key in listed:
            # A status speaks of time as well, and no event comes when that has passed.
            self.status_writer.mark(key)
        try:
            await self.builds.sweep(
                listed,
                namespaces=[n for n in self._namespaces if n is not None],
                wearers=self._cluster,
            )
        except Exception:
            # What could not be removed now is tried again with the next list.
            logger.exception("sweeping failed")

    async def _settle_in(self) -> None:
        """Wait until the objects that were there at the start have been looked at, and a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SWEEP_AT_LAST_S):
                await self._queue.drained()
                await asyncio.sleep(_FIRST_SWEEP_S)

    async def _watch_the_clock(self) -> None:
        """Look at configs whose time has come, by the wall clock however it was set meanwhile."""
        while True:
            await asyncio.sleep(_CLOCK_S)
            for key in self.builds.due(datetime.now(UTC)):
                self._queue.add(key)

    async def _reconcile(self, key: ConfigKey) -> None:
        try:
            await self.builds.ensure(key)
        except NotFoundError:
            logger.info("%s is gone", key)
        except (SpecError, SuspendedError) as error:
            logger.info("%s is not built: %s", key, error)
        except (SourceError, QueueFullError, JournalError, ClusterError) as error:
            self._retry(key, error.message)
            return
        except Exception:
            # A defect of ours or a full disk: it must not end the work on all other objects.
            logger.exception("reconciling %s failed", key)
            self._retry(key, "internal error")
            return
        self._failures.pop(key, None)
        self._look_again(key)

    def _retry(self, key: ConfigKey, why: str) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = min(_FIRST_RETRY_S * 2 ** (failures - 1), _LAST_RETRY_S)
        logger.warning("%s: %s; trying again in %.0f s", key, why, delay_s)
        self._queue.add_after(key, delay_s)

    def _look_again(self, key: ConfigKey) -> None:
        """Resolve a source that can move again after ``spec.interval``."""
        state = self.builds.state(key)
        if state is None or not state.moving or state.interval_s is None:
            return
        # Spread out, so that a thousand objects made at once are not looked at all at once.
        self._queue.add_after(key, state.interval_s * random.uniform(0.9, 1.1))  # noqa: S311

    def _serves(self, namespace: str) -> bool:
        return self._namespaces == [None] or namespace in self._namespaces
