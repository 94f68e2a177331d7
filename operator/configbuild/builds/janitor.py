"""Removes what is kept no longer, config by config and under its lock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol

from configbuild.builds.healing import heal
from configbuild.builds.records import record_of
from configbuild.builds.registry import Registry
from configbuild.builds.retention import Sweep, outdated, removable
from configbuild.builds.state import ConfigState
from configbuild.events import BuildCreated, Event
from configbuild.files import remove_tree
from configbuild.journal import Journals
from configbuild.model import BuildId, ConfigKey

logger = logging.getLogger(__name__)


class Wearers(Protocol):
    """Who knows which builds are being used."""

    async def worn(self, namespace: str) -> set[BuildId] | None:
        """Give the builds whose ids living pods wear as a label; ``None`` if nobody can tell."""


class Janitor:
    """Carries out the rules of :mod:`configbuild.builds.retention`.

    ``changed`` is told of a config whose history changed, ``missing`` of one whose active venv is
    not on disk any more.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        sweep: Sweep,
        journals: Journals,
        changed: Callable[[ConfigKey], None],
        missing: Callable[[ConfigKey], None],
    ) -> None:
        self._registry = registry
        self._sweep = sweep
        self._journals = journals
        self._changed = changed
        self._missing = missing

    async def sweep(
        self, uids: Mapping[ConfigKey, str], *, namespaces: Collection[str], wearers: Wearers
    ) -> None:
        """Remove what is kept no longer, after a complete list of the objects (``uids``).

        ``namespaces`` are those that were listed; empty for all. Cancellation leaves the rest for
        the next time.
        """
        for state in list(self._registry.states.values()):
            async with state.lock:
                if self._registry.states.get(state.key) is state:
                    await self._sweep_config(state, wearers)
        for build_id in self._registry.dropped():
            await self._registry.forget_journal(build_id)
        for path in await asyncio.to_thread(self._sweep.orphaned_venvs, uids, namespaces):
            logger.info("removing %s, which belongs to no ConfigBuild", path)
            await asyncio.to_thread(remove_tree, path)
        for build_id in await asyncio.to_thread(
            self._sweep.unknown_journals, self._registry.known()
        ):
            await self._sweep_journal(build_id, uids, namespaces)

    async def _sweep_config(self, state: ConfigState, wearers: Wearers) -> None:
        now = datetime.now(UTC)
        for record in outdated(state, now):
            state.history.remove(record)
            await self._registry.forget(record)
            self._changed(state.key)
        kept = await asyncio.to_thread(self._sweep.kept, state.key)
        if state.active is not None and state.active.build_id not in {v.build_id for v in kept}:
            self._missing(state.key)
        candidates = removable(state, kept, now=now, rules=self._sweep.rules)
        if not candidates:
            return
        worn = await wearers.worn(state.key.namespace)
        for build_id in candidates:
            if worn is not None and build_id not in worn:
                await asyncio.to_thread(self._sweep.remove, state.key, build_id)

    def _owner(self, created: Event) -> ConfigState | None:
        """Find the config that a journal belongs to; a recreated one of the name is another."""
        state = self._registry.states.get(record_of(created).key)
        assert isinstance(created.body, BuildCreated)
        same = state is not None and created.body.config_uid in ("", state.uid)
        return state if same else None

    async def _sweep_journal(
        self, build_id: BuildId, uids: Mapping[ConfigKey, str], namespaces: Collection[str]
    ) -> None:
        """Take the journal of a build that no status names into history, or remove it."""
        told = await asyncio.to_thread(self._journals.summary, build_id)
        if self._is_known(build_id) or self._journals.is_live(build_id):
            return  # Begun since the journals were listed.
        record = record_of(told.created) if told is not None else None
        if record is not None and namespaces and record.key.namespace not in namespaces:
            return
        if record is not None and self._is_not_seen_yet(record.key, uids):
            return
        state = self._owner(told.created) if told is not None else None
        if record is None or state is None:
            logger.info("removing the journal of %s, which belongs to no ConfigBuild", build_id)
            await asyncio.to_thread(self._journals.remove, build_id)
            return
        async with state.lock:
            if self._registry.states.get(state.key) is not state or self._is_known(build_id):
                return  # Only now was its status read, or it was deleted meanwhile.
            healed = await asyncio.to_thread(
                heal, record, journals=self._journals, layout=self._sweep.layout
            )
            dropped = state.remember(healed)
            self._registry.name(state)
            for gone in dropped:
                await self._registry.forget(gone)
            self._changed(state.key)

    def _is_not_seen_yet(self, key: ConfigKey, uids: Mapping[ConfigKey, str]) -> bool:
        """Tell whether an object's status, which may well name the build, is still to be read."""
        return key in uids and key not in self._registry.states

    def _is_known(self, build_id: BuildId) -> bool:
        return self._registry.state_of(build_id) is not None
