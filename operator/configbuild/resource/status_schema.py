"""The pydantic models of a ``ConfigBuild``'s status: what the operator writes and others read.

Every string and list is bounded, so that no build can make an object that etcd refuses.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configbuild.resource.rules import ApiModel

Short = Annotated[str, Field(max_length=256)]
Long = Annotated[str, Field(max_length=4096)]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Condition(ApiModel):
    """A standard condition (KEP-1623)."""

    type: Annotated[str, Field(max_length=316, description="Ready, Reconciling, Stalled …")]
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int = Field(
        description="The generation of the spec that this condition speaks of.",
        json_schema_extra={"format": "int64"},
    )
    last_transition_time: Timestamp = Field(description="When status last changed.")
    reason: Annotated[str, Field(max_length=1024, description="Why, as one CamelCase word.")]
    message: Annotated[str, Field(max_length=4096, description="Why, for people.")]


class ActiveStatus(ApiModel):
    """The build that consumers use."""

    build_id: Short = Field(description="Id of the build.")
    venv_path: Long = Field(description="Where the environment is, on the volume that jobs mount.")
    fingerprint: Short = Field(description="Hash of what it was built from.")
    python: Short | None = Field(None, description="Whole Python version inside.")
    engine: Short | None = Field(None, description="Name and version of the engine inside.")
    built_at: Timestamp = Field(description="When it was verified.")
    pinned: bool | None = Field(
        None,
        description="Chosen by ade.dev/activate: it stands until that annotation goes or the spec"
        " changes.",
    )
    expires_at: Timestamp | None = Field(None, description="When it is to be built anew.")


class FailureStatus(ApiModel):
    """Why a build failed."""

    reason: Short = Field(description="Why, as one CamelCase word.")
    message: Long = Field(description="What went wrong, with the lines of output that say so.")
    hint: Long | None = Field(None, description="What to change.")
    step: Short | None = Field(None, description="The step that failed.")


class HandledToken(ApiModel):
    """A token that was handled, once."""

    token: Short = Field(description="The annotation's value.")
    generation: int = Field(
        description="The generation of the spec at which it was handled.",
        json_schema_extra={"format": "int64"},
    )
    build_id: Short | None = Field(None, description="The build that it led to.")


class HandledStatus(ApiModel):
    """The tokens of the ade.dev/ annotations that were handled."""

    force: HandledToken | None = Field(None, description="ade.dev/force: build anew.")
    request: HandledToken | None = Field(
        None, description="ade.dev/request: look again, and try again what failed."
    )
    cancel: HandledToken | None = Field(None, description="ade.dev/cancel: end the build.")
    activate: HandledToken | None = Field(
        None, description="ade.dev/activate: use an earlier build."
    )


class BuildRecordStatus(ApiModel):
    """The newest build."""

    id: Short = Field(description="Id of the build.")
    status: Short = Field(description="queued, building, active, failed or canceled.")
    trigger: Short = Field(description="What started it.")
    changed: Annotated[list[Short], Field(max_length=16)] | None = Field(
        None, description="Which inputs of the fingerprint differ from the active build's."
    )
    changed_from: dict[str, Short] | None = Field(
        None,
        description="The short hashes that those inputs had; fingerprint.inputs has what they are.",
        json_schema_extra={"maxProperties": 16},
    )
    fingerprint: Short = Field(description="Hash of what it is built from.")
    attempt: int | None = Field(
        None, description="The how many-eth try at what failed for a passing reason."
    )
    retry_at: Timestamp | None = Field(None, description="When it is tried again by itself.")
    queue_position: int | None = Field(
        None, description="1 is next; told to the first ten that wait."
    )
    queued_at: Timestamp = Field(description="When it was asked for.")
    started_at: Timestamp | None = Field(None, description="When its first step began.")
    finished_at: Timestamp | None = Field(None, description="When it ended.")
    exit_code: int | None = Field(None, description="Of the command that ended it; 0 is well.")
    summary: Long | None = Field(None, description="How it ended, in a sentence.")
    failure: FailureStatus | None = Field(None, description="Why it failed.")


class StepRecordStatus(ApiModel):
    """A step of the newest build."""

    name: Short = Field(description="Name of the step.")
    status: Short = Field(description="running, succeeded, failed or skipped.")
    started_at: Timestamp | None = Field(None, description="When it began.")
    finished_at: Timestamp | None = Field(None, description="When it ended.")
    exit_code: int | None = Field(None, description="Exit code of its last command.")
    message: Long | None = Field(None, description="What it did.")


class FingerprintStatus(ApiModel):
    """Hash of what is declared, and of its parts."""

    value: Short = Field(description="Hash of all inputs.")
    inputs: dict[str, Short] = Field(
        description="Short hashes of the inputs, which tell what changed.",
        json_schema_extra={"maxProperties": 16},
    )


class LogChunkStatus(ApiModel):
    """A ConfigMap that holds a part of a log; what has another uid or hash is not a part of it."""

    name: Short = Field(description="Its name.")
    uid: Short = Field(description="Its uid.")
    sha256: Short = Field(description="SHA-256 of its data, in hex.")


class LogCopyStatus(ApiModel):
    """The copy of a log in the log store, which outlives the operator's disk."""

    store: Short | None = Field(None, description="configmap or valkey.")
    complete: bool | None = Field(None, description="Whether all of the log is in the store.")
    truncated: bool | None = Field(None, description="Whether its middle was left out.")
    problem: Long | None = Field(None, description="What keeps the copy from being complete.")
    config_maps: Annotated[list[LogChunkStatus], Field(max_length=32)] | None = Field(
        None, description="The parts of the copy, in order."
    )


class LogStatus(LogCopyStatus):
    """Where the newest build's log is."""

    lines: int = Field(description="How many events it has.", json_schema_extra={"format": "int64"})
    bytes: int = Field(description="Its size.", json_schema_extra={"format": "int64"})
    url: Long | None = Field(None, description="Path of its events in the operator's HTTP API.")


class HistoryStatus(ApiModel):
    """An earlier build, in short."""

    id: Short = Field(description="Id of the build.")
    status: Short = Field(description="active (it succeeded), failed or canceled.")
    trigger: Short = Field(description="What started it.")
    queued_at: Timestamp = Field(description="When it was asked for.")
    finished_at: Timestamp | None = Field(None, description="When it ended.")
    reason: Short | None = Field(None, description="Why it failed.")
    log: LogCopyStatus | None = Field(None, description="The copy of its log.")


class ConfigBuildStatus(ApiModel):
    """What the operator found and did; written by the operator alone."""

    observed_generation: int = Field(
        -1,
        description="The generation of the spec that this status speaks of; -1: none yet.",
        json_schema_extra={"format": "int64"},
    )
    phase: Literal["Queued", "Building", "Active", "Failed", "Canceled"] | None = Field(
        None, description="For people; programs read conditions."
    )
    step: Short | None = Field(None, description="The step that runs.")
    conditions: Annotated[list[Condition], Field(max_length=16)] | None = Field(
        None,
        description="Ready, Reconciling, Stalled (as kstatus reads them) and Available.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    active: ActiveStatus | None = Field(None, description="The build that consumers use.")
    build: BuildRecordStatus | None = Field(None, description="The newest build.")
    steps: Annotated[list[StepRecordStatus], Field(max_length=16)] | None = Field(
        None, description="The newest build's steps."
    )
    fingerprint: FingerprintStatus | None = Field(None, description="Hash of what is declared now.")
    log: LogStatus | None = Field(None, description="The newest build's log.")
    handled: HandledStatus | None = Field(
        None, description="Tokens of annotations that were handled."
    )
    history: Annotated[list[HistoryStatus], Field(max_length=51)] | None = Field(
        None, description="Earlier builds, newest first; the active one is always among them."
    )
