"""What is told of a build: a snapshot, the same whether it runs or ended long ago."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from configbuild.events import (
    Body,
    BuildCompleted,
    BuildCreated,
    BuildGap,
    BuildLog,
    BuildStep,
    Event,
)
from configbuild.logstore import StoredLog
from configbuild.model import BuildId, BuildStatus, ConfigKey, Step, StepStatus, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """How far a step is."""

    name: Step
    status: StepStatus
    message: str
    started_at: datetime
    finished_at: datetime | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """A build as it stands.

    Times are aware; ``fingerprint`` is empty where nobody knows it. ``changed_from`` holds what the
    inputs that ``changed`` were before. ``attempt`` counts the tries at what failed for passing
    reasons: 1, 2, 3 … ``log`` tells of the copy of its log, if there is one.
    """

    id: BuildId
    key: ConfigKey
    status: BuildStatus
    trigger: Trigger
    queued_at: datetime
    changed: tuple[str, ...] = ()
    changed_from: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    summary: str | None = None
    message: str | None = None
    reason: str | None = None
    hint: str | None = None
    failed_step: Step | None = None
    steps: tuple[StepProgress, ...] = ()
    log: StoredLog | None = None

    def after(self, event: Event) -> BuildRecord:
        """Give the record as it stands after ``event``."""
        body: Body = event.body
        match body:
            case BuildStep():
                return replace(
                    self,
                    status=BuildStatus.BUILDING,
                    started_at=self.started_at or event.time,
                    steps=_with_step(self.steps, body, event.time),
                )
            case BuildCompleted():
                steps = _ended(self.steps, event.time)
                failed = [step.name for step in steps if step.status is StepStatus.FAILED]
                return replace(
                    self,
                    status=body.status,
                    steps=steps,
                    finished_at=event.time,
                    exit_code=body.exit_code,
                    summary=body.summary,
                    message=body.error_message,
                    reason=body.reason,
                    hint=body.hint,
                    failed_step=failed[-1] if failed else None,
                )
            case BuildCreated() | BuildLog() | BuildGap():
                return self


def record_of(created: Event, later: Iterable[Event] = ()) -> BuildRecord:
    """Make the record of a build from its first event and those that followed.

    ``ValueError`` if the first event is not ``build.created``. Log events may be left out.
    """
    body = created.body
    if not isinstance(body, BuildCreated):
        raise ValueError(  # noqa: TRY004 - the data is wrong, not the type of an argument
            f"a journal begins with build.created, not with {body.TYPE}"
        )
    record = BuildRecord(
        id=created.build_id,
        key=ConfigKey(body.workspace_id, body.config_id),
        status=body.status,
        trigger=body.trigger,
        queued_at=created.time,
    )
    for event in later:
        record = record.after(event)
    return record


def _ended(steps: tuple[StepProgress, ...], time: datetime) -> tuple[StepProgress, ...]:
    """End the step that still runs where its own end could not be told, as with a full disk."""
    return tuple(
        replace(step, status=StepStatus.FAILED, finished_at=time)
        if step.status is StepStatus.RUNNING
        else step
        for step in steps
    )


def _with_step(
    steps: tuple[StepProgress, ...], body: BuildStep, time: datetime
) -> tuple[StepProgress, ...]:
    started = {step.name: step.started_at for step in steps}
    ended = body.status is not StepStatus.RUNNING
    progress = StepProgress(
        name=body.step,
        status=body.status,
        message=body.message,
        started_at=started.get(body.step, time),
        finished_at=time if ended else None,
        exit_code=body.exit_code,
    )
    return (*(step for step in steps if step.name is not body.step), progress)
