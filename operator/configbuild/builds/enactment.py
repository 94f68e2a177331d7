"""Does what ensure decided: leaves things, joins, points back, or ends a build and queues another.

All of this happens under the config's lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import assert_never

from configbuild.builds.ask import Ask, Ensured
from configbuild.builds.attempt import Attempt
from configbuild.builds.decision import SUPERSEDED, Decision, Verdict
from configbuild.builds.registry import Registry
from configbuild.builds.runner import BuildRunner
from configbuild.builds.state import ActiveBuild, ConfigState
from configbuild.builds.workshop import Wanted, Workshop
from configbuild.errors import BuildRunningError, SuspendedError
from configbuild.journal import Journals
from configbuild.model import BuildId, BuildStatus, ConfigKey, Trigger

logger = logging.getLogger(__name__)


class Enactment:
    """Carries out decisions; ``changed`` is told of each config whose state changed by it."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        journals: Journals,
        registry: Registry,
        runner: BuildRunner,
        changed: Callable[[ConfigKey], None],
    ) -> None:
        self._workshop = workshop
        self._journals = journals
        self._registry = registry
        self._runner = runner
        self._changed = changed

    async def carry_out(
        self,
        state: ConfigState,
        wanted: Wanted,
        decision: Decision,
        ask: Ask,
        *,
        kept: ActiveBuild | None,
    ) -> Ensured | None:
        """Do what was decided; ``None`` asks for another look, since time has passed.

        ``kept`` is the build that :attr:`.Verdict.RESTORE` points to.
        :class:`~configbuild.errors.BuildRunningError`,
        :class:`~configbuild.errors.SuspendedError`, :class:`~configbuild.errors.QueueFullError` and
        :class:`~configbuild.errors.JournalError` say why there is no build.
        """
        match decision.verdict:
            case Verdict.REUSE:
                return await self._reuse(state)
            case Verdict.RESTORE:
                assert kept is not None
                logger.info("%s of %s is what is declared again", kept.build_id, state.key)
                state.active = kept
                self._registry.name(state)
                return await self._reuse(state)
            case Verdict.NOTHING:
                self._changed(state.key)
                return Ensured(verdict=Verdict.NOTHING, record=state.newest)
            case Verdict.JOIN:
                return self._join(state, ask)
            case Verdict.BUILD:
                return await self._build(state, wanted, decision, ask)
            case _:
                assert_never(decision.verdict)

    async def _reuse(self, state: ConfigState) -> Ensured:
        if state.running is not None:
            self._runner.end(state.running, "the active build is wanted again", reason=SUPERSEDED)
        self._changed(state.key)
        assert state.active is not None
        found = await self._registry.find(state.active.build_id)
        record = found or state.active.as_record(state.key)
        return Ensured(verdict=Verdict.REUSE, record=record)

    def _join(self, state: ConfigState, ask: Ask) -> Ensured:
        assert state.running is not None
        record = state.running.record
        if not ask.join:
            raise BuildRunningError(
                f"build {record.id} of {state.key} runs already; join it with wait or stream,"
                " or replace it with force",
                build_id=record.id,
            )
        return Ensured(verdict=Verdict.JOIN, record=record)

    async def _build(
        self, state: ConfigState, wanted: Wanted, decision: Decision, ask: Ask
    ) -> Ensured | None:
        if state.suspended:
            self._changed(state.key)
            if ask.explicit:
                raise SuspendedError(f"{state.key} says spec.suspend: true; no build is started")
            return Ensured(verdict=Verdict.NOTHING, record=state.newest)
        running = state.running
        if running is not None:
            self._runner.end(running, "a newer build takes its place", reason=SUPERSEDED)
            await running.ended.wait()
            if not ask.explicit:
                # The declaration may have moved on meanwhile: look again before building.
                return None
        attempt = await self._queue(state, wanted, decision)
        return Ensured(verdict=Verdict.BUILD, record=attempt.record)

    async def _queue(self, state: ConfigState, wanted: Wanted, decision: Decision) -> Attempt:
        trigger = decision.trigger
        assert trigger is not None
        self._runner.check_room()
        build_id = BuildId.new()
        request = self._workshop.request(wanted, build_id, trigger)
        journal = await asyncio.to_thread(self._journals.create, build_id)
        tried = state.newest.attempt if state.newest and trigger is Trigger.RETRY else 0
        try:
            attempt = Attempt(
                request,
                journal,
                changed_inputs=decision.changed,
                changed_from=decision.changed_from,
                attempt=tried + 1,
                changed=self._attempt_changed,
            )
            # Before the state knows of it, since what nobody runs never ends; and others may have
            # taken the last place meanwhile.
            self._runner.submit(attempt)
        except BaseException:
            # Open and empty, it would stay until the operator ends, and one more with each try.
            await asyncio.to_thread(self._journals.remove, build_id)
            raise
        dropped = state.begin(attempt)
        self._registry.name(state)
        logger.info("build %s of %s queued: %s", build_id, state.key, trigger)
        self._changed(state.key)
        for forgotten in dropped:
            await self._registry.forget(forgotten)
        return attempt

    def _attempt_changed(self, attempt: Attempt) -> None:
        state = self._registry.states.get(attempt.request.key)
        if state is None or state.attempt is not attempt:
            return
        waited = state.newest is not None and state.newest.status is BuildStatus.QUEUED
        state.newest = attempt.record
        if waited and self._registry.copies is not None:
            # Not before: of a thousand builds that wait there is nothing to copy yet.
            self._registry.copies.begin(state.owner_of(attempt.record.id))
        self._changed(attempt.request.key)
