"""What goes in and out as JSON. Field for field what the former service had, then additions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self, overload

from pydantic import BaseModel, ConfigDict, Field

from configbuild.builds.records import BuildRecord, StepProgress
from configbuild.model import BuildStatus, Step, StepStatus, Stream, Trigger

UnixSeconds = Annotated[int, Field(description="Unix time in whole seconds.", ge=0)]


class _Asked(BaseModel):
    """Nothing is guessed: a word that is not known, or of another type, is refused by name."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class BuildOptions(_Asked):
    """How a build is asked for."""

    force: bool = Field(
        default=False, description="Build anew in any case; a build that runs is superseded."
    )
    wait: bool = Field(
        default=False,
        description="Join a build that runs, and answer when it has ended, after"
        " ADE_BUILD_ENSURE_WAIT_SECONDS at the latest. Without effect on a stream.",
    )


class BuildCreateRequest(_Asked):
    """Asks that a config have the build that it declares."""

    stream: bool = Field(
        default=False, description="Answer with the build's events as NDJSON, to its end."
    )
    options: BuildOptions = BuildOptions()


class _Told(BaseModel):
    """Every field is always there. Later versions may have more."""

    model_config = ConfigDict(
        strict=True, frozen=True, json_schema_serialization_defaults_required=True
    )


class BuildStepStatus(_Told):
    """How a step of a build stands."""

    name: Step
    status: StepStatus
    message: str
    started: UnixSeconds
    finished: UnixSeconds | None
    exit_code: int | None

    @classmethod
    def of(cls, step: StepProgress) -> Self:
        """Tell of one step."""
        return cls(
            name=step.name,
            status=step.status,
            message=step.message,
            started=_seconds(step.started_at),
            finished=_seconds(step.finished_at),
            exit_code=step.exit_code,
        )


class Build(_Told):
    """One build as it stands."""

    id: str = Field(description="build_ and a ULID.", examples=["build_01JD9V0Q6BX7ZQ4V7E3MPK2T5C"])
    object: Literal["ade.build"] = "ade.build"
    workspace_id: str = Field(description="The namespace.")
    config_id: str = Field(description="The name of the ConfigBuild.")
    configuration_id: str = Field(description="The same as config_id, for older clients.")
    configuration_build_id: None = Field(default=None, description="Always null.")
    build_ref: None = Field(default=None, description="Always null.")
    status: BuildStatus
    created: UnixSeconds
    started: UnixSeconds | None = Field(description="When the first step began.")
    finished: UnixSeconds | None
    exit_code: int | None = Field(description="Of the command that ended the build; 0 if all did.")
    summary: str | None = Field(description="How the build ended, in a few words.")
    error_message: str | None = Field(description="What went wrong, for people.")
    reason: str | None = Field(description="Why it ended as it did: one CamelCase word.")
    hint: str | None = Field(description="What might help.")
    trigger: Trigger = Field(description="Why the build was started.")
    changed: list[str] = Field(description="Inputs that differ from those of the build before.")
    fingerprint: str | None = Field(description="Hash of the declared inputs.")
    queue_position: int | None = Field(description="1 is next; null if it does not wait.", ge=1)
    steps: list[BuildStepStatus] = Field(description="Steps that have begun, in their order.")

    @classmethod
    def of(cls, record: BuildRecord, *, queue_position: int | None = None) -> Self:
        """Tell of a build."""
        return cls(
            id=record.id,
            workspace_id=record.key.namespace,
            config_id=record.key.name,
            configuration_id=record.key.name,
            status=record.status,
            created=_seconds(record.queued_at),
            started=_seconds(record.started_at),
            finished=_seconds(record.finished_at),
            exit_code=record.exit_code,
            summary=record.summary,
            error_message=record.message,
            reason=record.reason,
            hint=record.hint,
            trigger=record.trigger,
            changed=list(record.changed),
            fingerprint=record.fingerprint or None,
            queue_position=queue_position,
            steps=[BuildStepStatus.of(step) for step in record.steps],
        )


class BuildList(_Told):
    """The builds of a config."""

    object: Literal["ade.build.list"] = "ade.build.list"
    builds: list[Build] = Field(description="Newest first.")


class BuildLogEntry(_Told):
    """A line of output."""

    id: int = Field(description="The id of its event; ids of other events lie between.", ge=1)
    created: UnixSeconds
    stream: Stream
    message: str


class BuildLogs(_Told):
    """A page of a build's output."""

    object: Literal["ade.build.logs"] = "ade.build.logs"
    build_id: str
    entries: list[BuildLogEntry] = Field(description="Oldest first.")
    next_after_id: int | None = Field(
        description="The after_id of the next page; null once the build has ended and all is read."
    )


class Health(_Told):
    """All is well."""

    status: Literal["ok"] = "ok"


class Readiness(Health):
    """Builds can be made."""

    warnings: list[str] = Field(
        default_factory=list,
        description="What is not as it should be all the same, such as a sandbox that is off.",
    )


@overload
def _seconds(time: datetime) -> int: ...
@overload
def _seconds(time: None) -> None: ...
@overload
def _seconds(time: datetime | None) -> int | None: ...
def _seconds(time: datetime | None) -> int | None:
    return int(time.timestamp()) if time is not None else None
