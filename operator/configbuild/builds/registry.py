"""All configs of this process, and which of them each build belongs to."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from configbuild.builds.copies import LogCopies
from configbuild.builds.records import BuildRecord, record_of
from configbuild.builds.state import ConfigState
from configbuild.journal import Journals
from configbuild.model import BuildId, ConfigKey


class Registry:
    """The states of configs by their key, and the way from a build's id to its config's state."""

    def __init__(self, journals: Journals, copies: LogCopies | None = None) -> None:
        self.copies = copies
        self.states: dict[ConfigKey, ConfigState] = {}
        self._journals = journals
        self._keys: dict[BuildId, ConfigKey] = {}

    def name(self, state: ConfigState) -> None:
        """Have every build of a config found by its id."""
        for record in state.all_records():
            self._keys[record.id] = state.key
        if state.active is not None:
            self._keys[state.active.build_id] = state.key

    def known(self) -> set[BuildId]:
        """List the builds that are remembered."""
        return set(self._keys)

    def dropped(self) -> list[BuildId]:
        """List the builds that their config names no more.

        History drops the record of a build that is still active; later another one is, or the
        config is deleted.
        """
        return [
            build_id
            for build_id, key in self._keys.items()
            if (state := self.states.get(key)) is None or not state.names(build_id)
        ]

    def state_of(self, build_id: BuildId) -> ConfigState | None:
        """Find the state of the config that a build belongs to."""
        key = self._keys.get(build_id)
        return self.states.get(key) if key is not None else None

    def record(self, build_id: BuildId) -> BuildRecord | None:
        """Find a remembered build."""
        state = self.state_of(build_id)
        records = state.all_records() if state is not None else []
        return next((record for record in records if record.id == build_id), None)

    async def find(self, build_id: BuildId) -> BuildRecord | None:
        """Find a build: remembered, or told of by its journal."""
        record = self.record(build_id)
        if record is not None:
            return record
        told = await asyncio.to_thread(self._journals.summary, build_id)
        if told is None:
            return None
        later = [event for event in (told.first_step, told.ended) if event is not None]
        # One event of a step says when the build began, and nothing of the other steps.
        return replace(record_of(told.created, later), steps=())

    async def forget(self, record: BuildRecord) -> None:
        """Forget a build, and remove its journal and the copy of that."""
        if self.copies is not None:
            self.copies.forget(record)
        await self.forget_journal(record.id)

    async def forget_journal(self, build_id: BuildId) -> None:
        """Forget a build of which nothing but its journal can be left."""
        self._keys.pop(build_id, None)
        await asyncio.to_thread(self._journals.remove, build_id)
