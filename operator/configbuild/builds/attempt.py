"""One build attempt, from the queue to its end: its journal, its record, and who may end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from configbuild.builds.decision import OPERATOR_SHUTDOWN
from configbuild.builds.records import record_of
from configbuild.engine import BuildRequest, StepOutput, run_build, step_reason
from configbuild.errors import ConfigBuildError, JournalError, StepError
from configbuild.events import Body, BuildCreated, BuildStep, Event
from configbuild.failures import DISK_FULL, is_disk_full
from configbuild.journal import JournalWriter
from configbuild.logstore import StoredLog
from configbuild.model import BuildStatus, Step, StepStatus
from configbuild.outcome import Outcome, canceled, failed, succeeded
from configbuild.redaction import Redactor
from configbuild.steplog import StepLog

logger = logging.getLogger(__name__)


class Attempt:
    """A build that waits, runs or has ended in this process.

    It is told to run once (:meth:`run`) and may be told to end at any time (:meth:`cancel`). What
    happens is written to the journal first, then to :attr:`record`, then ``changed`` is called.
    """

    def __init__(
        self,
        request: BuildRequest,
        journal: JournalWriter,
        *,
        changed_inputs: tuple[str, ...] = (),
        changed_from: Mapping[str, str] | None = None,
        attempt: int = 1,
        changed: Callable[[Attempt], None] = lambda _: None,
    ) -> None:
        self.request = request
        self.journal = journal
        self.outcome: Outcome | None = None
        self.end: Event | None = None
        self.ended = asyncio.Event()
        self._changed = changed
        self._redactor = Redactor(request.sources.secrets)
        self._canceled: Outcome | None = None
        self._engine: asyncio.Task[Outcome] | None = None
        created = journal.append(
            BuildCreated(
                status=BuildStatus.QUEUED,
                config_id=request.key.name,
                workspace_id=request.key.namespace,
                trigger=request.trigger,
                config_uid=request.uid,
            )
        )
        self.record = replace(
            record_of(created),
            fingerprint=request.fingerprint.value,
            changed=changed_inputs,
            changed_from=dict(changed_from or {}),
            attempt=attempt,
        )

    async def run(self) -> Outcome:
        """Run the build to its end; never raises for a build that ends badly.

        Its ``build.completed`` is in the journal and on disk when this returns. Cancellation (the
        operator stops) ends the build like :meth:`cancel`, then is passed on.
        """
        self._engine = asyncio.create_task(self._run_engine(), name=f"engine {self.record.id}")
        if self._canceled is not None:
            self._engine.cancel()
        try:
            await asyncio.wait({self._engine})
        except asyncio.CancelledError:
            self.cancel("the operator was stopped", reason=OPERATOR_SHUTDOWN)
            await asyncio.wait({self._engine})
            await self.finish(self._result())
            raise
        outcome = self._result()
        await self.finish(outcome)
        return outcome

    def cancel(self, message: str, *, reason: str) -> None:
        """Have the build end soon, with its whole process tree; the first reason given stands."""
        if self._canceled is None and self.outcome is None:
            self._canceled = canceled(message, reason=reason)
            if self._engine is not None:
                self._engine.cancel()

    async def finish(self, outcome: Outcome) -> None:
        """Write the end of the build, unless it is written; nothing comes after it."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        try:
            self.end = self.journal.append(outcome.event())
        except JournalError as error:
            # A full disk: the end is told by the status, and by HTTP from there.
            logger.error("the end of build %s is not in its journal: %s", self.record.id, error)  # noqa: TRY400
            self.end = self._unwritten(outcome)
        try:
            await asyncio.shield(asyncio.to_thread(self._close_journal))
        finally:
            self._follow(self.end)
            self.ended.set()

    def emit(self, body: Body) -> None:
        """Record an event; see :class:`configbuild.engine.BuildReport`."""
        self._follow(self.journal.append(body))

    def step_output(self, step: Step) -> StepOutput:
        """Open the log of a step; see :class:`configbuild.engine.BuildReport`."""
        return StepLog(self.journal, step=step, redactor=self._redactor)

    def sync(self) -> None:
        """Bring the journal to disk; see :class:`configbuild.engine.BuildReport`."""
        self.journal.sync()

    def note_log(self, log: StoredLog) -> None:
        """Remember how the copy of the log stands."""
        self.record = replace(self.record, log=log)

    def _result(self) -> Outcome:
        assert self._engine is not None
        if self._engine.cancelled():
            assert self._canceled is not None
            return self._canceled
        return self._engine.result()

    async def _run_engine(self) -> Outcome:
        try:
            return succeeded(await run_build(self.request, self))
        except StepError as error:
            step = self._failed_step()
            return failed(
                error.message,
                reason=error.reason,
                exit_code=error.exit_code,
                step=step,
                hint=error.hint,
            )
        except ConfigBuildError as error:
            return failed(error.message, reason=error.reason, step=self._failed_step())
        except Exception as error:
            step = self._failed_step()
            if is_disk_full(error):
                return failed(str(error), reason=DISK_FULL, step=step)
            logger.exception("build %s failed for a reason of our own", self.record.id)
            reason = step_reason(step) if step and isinstance(error, OSError) else "InternalError"
            return failed(f"{type(error).__name__}: {error}", reason=reason, step=step)

    def _failed_step(self) -> Step | None:
        failed_steps = [s.name for s in self.record.steps if s.status is StepStatus.FAILED]
        return failed_steps[-1] if failed_steps else None

    def _unwritten(self, outcome: Outcome) -> Event:
        return Event(
            id=self.journal.last_id + 1,
            build_id=self.record.id,
            time=datetime.now(UTC),
            body=outcome.event(),
        )

    def _close_journal(self) -> None:
        try:
            self.journal.sync()
        except JournalError as error:
            logger.error("the journal of %s may not be on disk: %s", self.record.id, error)  # noqa: TRY400
        finally:
            self.journal.close()

    def _follow(self, event: Event) -> None:
        self.record = self.record.after(event)
        if isinstance(event.body, BuildStep):
            logger.info("build %s: %s %s", self.record.id, event.body.step, event.body.status)
        self._changed(self)
