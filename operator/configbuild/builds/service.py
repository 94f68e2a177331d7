"""The application service: every way to a build, by an edit, a request or a restart, leads here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from configbuild.builds.acts import follow_tokens
from configbuild.builds.ask import NOTHING_BEYOND, Ask, Ensured
from configbuild.builds.attempt import Attempt
from configbuild.builds.copies import LogCopies
from configbuild.builds.decision import SUPERSEDED, Decision, Facts, decide, retry_at
from configbuild.builds.enactment import Enactment
from configbuild.builds.janitor import Janitor, Wearers
from configbuild.builds.recollection import recollect
from configbuild.builds.records import BuildRecord
from configbuild.builds.registry import Registry
from configbuild.builds.retention import Rules, Sweep, kept_build
from configbuild.builds.runner import BuildRunner, Load
from configbuild.builds.state import ActiveBuild, ConfigState, Declared, Problem
from configbuild.builds.tokens import Handled, TokenKind
from configbuild.builds.workshop import Reader, Wanted, Workshop
from configbuild.errors import (
    JournalError,
    NotFoundError,
    QueueFullError,
    SourceError,
    SpecError,
)
from configbuild.files import remove_tree
from configbuild.journal import Journals
from configbuild.logstore import LogOwner, LogStore, StoredLog
from configbuild.model import BuildId, ConfigKey

logger = logging.getLogger(__name__)


class Catalog(Protocol):
    """Where declarations come from: the cluster, or a file."""

    async def declared(self, key: ConfigKey) -> Declared | None:
        """Give a config as it is declared now; ``None`` if there is none."""


class Listener(Protocol):
    """Who wants to know that something about a config changed; called in the event loop."""

    def changed(self, key: ConfigKey) -> None:
        """Take notice; what changed is found in :meth:`Builds.state`."""

    def settled(self, key: ConfigKey) -> None:
        """Take notice that a build has ended; what is declared may ask for another by now."""


class Builds:
    """Decides which builds run, runs them, and knows what became of them.

    :meth:`run` must be running for builds to be made; everything else may be called from anywhere
    in the same event loop.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        reader: Reader,
        workshop: Workshop,
        journals: Journals,
        listener: Listener,
        max_concurrency: int,
        queue_limit: int,
        retention: Rules | None = None,
        log_store: LogStore | None = None,
        ended: Callable[[Attempt], None] = lambda _: None,
    ) -> None:
        """Have ``ended`` told of every build that ended, whatever became of its config."""
        self._catalog = catalog
        self._reader = reader
        self._workshop = workshop
        self._journals = journals
        self._listener = listener
        self._ended = ended
        self._runner = BuildRunner(
            max_concurrency=max_concurrency,
            queue_limit=queue_limit,
            settled=self._settle,
            moved=lambda attempt: listener.changed(attempt.request.key),
        )
        self.copies = (
            LogCopies(store=log_store, journals=journals, noted=self._note_log)
            if log_store is not None
            else None
        )
        self._registry = Registry(journals, self.copies)
        self._enactment = Enactment(
            workshop=workshop,
            journals=journals,
            registry=self._registry,
            runner=self._runner,
            changed=listener.changed,
        )
        self._janitor = Janitor(
            registry=self._registry,
            sweep=Sweep(layout=workshop.layout, journals=journals, rules=retention or Rules()),
            journals=journals,
            changed=listener.changed,
            missing=listener.settled,
        )

    async def run(self) -> None:
        """Make builds until cancelled; then every build is ended and has its last event."""
        async with asyncio.TaskGroup() as group:
            if self.copies is not None:
                # Cancelled after the runner has ended, when all logs have their last event.
                group.create_task(self.copies.run(), name="copies of logs")
            await self._runner.run()

    async def ensure(
        self,
        key: ConfigKey,
        ask: Ask = NOTHING_BEYOND,
    ) -> Ensured:
        """See to it that the config has the build that its declaration asks for.

        :class:`NotFoundError` if there is no such config; other errors
        (:class:`SpecError`, :class:`SourceError`, :class:`QueueFullError`, :class:`SuspendedError`)
        have been noted in the config's state too. Cancellation leaves all as it was.
        """
        while True:
            declared = await self._catalog.declared(key)
            if declared is None:
                await self.forget(key)
                raise NotFoundError(f"there is no ConfigBuild {key}")
            state = await self._state_of(declared)
            async with state.lock:
                ensured = await self._ensure(state, ask)
            if ensured is not None:
                return ensured

    async def cancel(self, build_id: BuildId, message: str) -> BuildRecord:
        """End a build that waits or runs; one that has ended stays as it is."""
        attempt = self._attempt(build_id)
        if attempt is None:
            record = await self.find(build_id)
            if record is None:
                raise NotFoundError(f"there is no build {build_id}")
            return record
        self._runner.end(attempt, message, reason="Canceled")
        return attempt.record

    async def forget(self, key: ConfigKey) -> None:
        """Drop a config that was deleted: its build is ended, its venvs and journals go."""
        state = self._registry.states.get(key)
        if state is None:
            return
        async with state.lock:
            if self._registry.states.get(key) is not state:
                return
            if state.running is not None:
                running = state.running
                self._runner.end(running, "the ConfigBuild was deleted", reason="Deleted")
                await running.ended.wait()
            for record in state.all_records():
                await self._registry.forget(record)
            await asyncio.to_thread(remove_tree, self._workshop.layout.config_venvs(key))
            # Last: an object that was created anew under the name waits for this to be over.
            del self._registry.states[key]

    async def sweep(
        self, uids: Mapping[ConfigKey, str], *, namespaces: Collection[str], wearers: Wearers
    ) -> None:
        """Remove what is kept no longer; see :meth:`.Janitor.sweep`."""
        await self._janitor.sweep(uids, namespaces=namespaces, wearers=wearers)

    def due(self, now: datetime) -> list[ConfigKey]:
        """List the configs whose time has come: the active build expired, or a retry is due."""
        return [key for key, state in self._registry.states.items() if state.is_due(now)]

    def state(self, key: ConfigKey) -> ConfigState | None:
        """Look up what is known of a config."""
        return self._registry.states.get(key)

    async def find(self, build_id: BuildId) -> BuildRecord | None:
        """Look up a build: live, remembered, or from its journal."""
        return await self._registry.find(build_id)

    async def wait(self, build_id: BuildId) -> None:
        """Wait until a build has ended; returns at once for one that is not live."""
        attempt = self._attempt(build_id)
        if attempt is not None:
            await attempt.ended.wait()

    def queue_position(self, build_id: BuildId) -> int | None:
        """Tell how many builds are taken up to this one; ``None`` if it does not wait."""
        return self._runner.position(build_id)

    def load(self) -> Load:
        """Tell how many builds run and wait."""
        return self._runner.load()

    async def _state_of(self, declared: Declared) -> ConfigState:
        """Find or make the state of a config; one of an earlier object of the name is dropped."""
        key = declared.key
        known = self._registry.states.get(key)
        if known is not None and known.uid != declared.uid:
            await self.forget(key)
            known = self._registry.states.get(key)
        return await self._take_up(declared) if known is None else known

    async def _take_up(self, declared: Declared) -> ConfigState:
        """Make the state of a config that this process sees for the first time."""
        state = ConfigState(key=declared.key, uid=declared.uid)
        async with state.lock:
            self._registry.states[state.key] = state
            try:
                await recollect(
                    state, declared, journals=self._journals, layout=self._workshop.layout
                )
            except BaseException:
                # Half read is not read: the next look begins anew.
                del self._registry.states[state.key]
                raise
            self._registry.name(state)
            if self.copies is not None:
                for record in state.all_records():
                    self.copies.catch_up(state.owner_of(record.id), record)
        return state

    async def _ensure(self, state: ConfigState, ask: Ask) -> Ensured | None:
        """Do the work of ensure under the lock; ``None`` asks for another round."""
        declared = await self._catalog.declared(state.key)
        forgotten = self._registry.states.get(state.key) is not state
        if declared is None or declared.uid != state.uid or forgotten:
            return None
        due = await follow_tokens(
            state, declared, runner=self._runner, layout=self._workshop.layout
        )
        ask = replace(
            ask,
            force=ask.force or TokenKind.FORCE in due,
            requested=ask.requested or TokenKind.REQUEST in due,
        )
        try:
            wanted = await self._reader.read(declared)
        except (SpecError, SourceError) as error:
            self._note_problem(state, declared, error)
            raise
        self._note_wanted(state, wanted)
        # Another limit, or another build that is active, may leave less room.
        for record in state.trim_history():
            await self._registry.forget(record)
        ensured = await self._enact(state, wanted, ask)
        if ensured is not None and due:
            for kind, token in due.items():
                build_id = ensured.record.id if ensured.record is not None else None
                state.handled[kind] = Handled(
                    token=token, generation=declared.generation, build_id=build_id
                )
            self._listener.changed(state.key)
        return ensured

    async def _enact(self, state: ConfigState, wanted: Wanted, ask: Ask) -> Ensured | None:
        kept = await self._kept(state, wanted)
        decision = await self._decide(state, wanted, ask, kept=kept is not None)
        try:
            return await self._enactment.carry_out(state, wanted, decision, ask, kept=kept)
        except (QueueFullError, JournalError) as error:
            self._note_problem(state, wanted.declared, error)
            raise

    async def _kept(self, state: ConfigState, wanted: Wanted) -> ActiveBuild | None:
        """Find a kept build to go back to, where the active one is not what is declared."""
        declared = wanted.fingerprint.value
        if state.active is None or state.active.fingerprint == declared:
            return None
        kept = await asyncio.to_thread(kept_build, state, declared, layout=self._workshop.layout)
        if kept is None or state.would_expire(kept, datetime.now(UTC)):
            return None
        return kept

    async def _decide(
        self, state: ConfigState, wanted: Wanted, ask: Ask, *, kept: bool
    ) -> Decision:
        active = state.active
        usable = active is not None and await asyncio.to_thread(
            active.usable, self._workshop.layout, state.key
        )
        running = state.running
        now = datetime.now(UTC)
        retry = retry_at(state.newest)
        return decide(
            Facts(
                declared=wanted.fingerprint,
                generation_changed=wanted.declared.generation != state.newest_generation,
                active_fingerprint=active.fingerprint if active else None,
                active_usable=usable,
                active_expired=state.is_expired(now),
                pinned=state.pinned,
                kept=kept,
                known_inputs=dict(active.inputs if active else state.newest_inputs),
                running=running.record if running else None,
                newest=state.newest,
                previous=state.previous,
                hindrances=self._workshop.hindrances,
                retry_due=retry is not None and retry <= now,
                force=ask.force,
                requested=ask.requested,
            )
        )

    def _note_problem(
        self,
        state: ConfigState,
        declared: Declared,
        error: SpecError | SourceError | QueueFullError | JournalError,
    ) -> None:
        state.generation = declared.generation
        state.suspended = declared.suspended
        state.problem = Problem(
            reason=error.reason,
            message=error.message,
            stalled=isinstance(error, SpecError)
            or (isinstance(error, SourceError) and error.missing),
        )
        if state.running is not None and isinstance(error, SpecError):
            self._runner.end(state.running, "the spec was changed", reason=SUPERSEDED)
        self._listener.changed(state.key)

    def _note_wanted(self, state: ConfigState, wanted: Wanted) -> None:
        state.generation = wanted.declared.generation
        state.suspended = wanted.declared.suspended
        state.problem = None
        state.fingerprint = wanted.fingerprint
        state.history_limit = wanted.spec.history_limit
        state.retention_s = wanted.spec.retention_s
        state.interval_s = wanted.spec.interval_s
        state.moving = wanted.moving
        state.ttl_s = wanted.spec.ttl_s

    def _note_log(self, owner: LogOwner, log: StoredLog) -> None:
        state = self._registry.states.get(owner.key)
        if state is not None and state.uid == owner.uid:
            state.note_log(owner.build_id, log)
            self._listener.changed(owner.key)

    def _settle(self, attempt: Attempt) -> None:
        """Move the pointer to a build that was verified, if its config is still the same object."""
        self._ended(attempt)
        request = attempt.request
        state = self._registry.states.get(request.key)
        if state is None or state.attempt is not attempt:
            return
        state.newest = attempt.record
        if state.canceling is not None:
            # Now, so that no status tells of the end without it.
            state.handled[TokenKind.CANCEL], state.canceling = state.canceling, None
        venv = attempt.outcome.venv if attempt.outcome is not None else None
        if venv is not None:
            state.active = ActiveBuild.of(request, venv)
        self._listener.changed(request.key)
        self._listener.settled(request.key)

    def _attempt(self, build_id: BuildId) -> Attempt | None:
        state = self._registry.state_of(build_id)
        running = state.running if state is not None else None
        return running if running is not None and running.record.id == build_id else None
