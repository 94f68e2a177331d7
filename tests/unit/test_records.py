"""The record of a build, made from its events, whether they come live or from a journal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from configbuild.builds.records import BuildRecord, StepProgress, record_of
from configbuild.events import Body, BuildCompleted, BuildLog, BuildStep, Event
from configbuild.model import BuildStatus, Step, StepStatus, Stream, Trigger
from tests.unit.examples import CREATED, KEY, NOW, build_id


def at(seconds: int, body: Body) -> Event:
    return Event(
        id=seconds + 1, build_id=build_id(), time=NOW + timedelta(seconds=seconds), body=body
    )


def step(name: Step, status: StepStatus, message: str = "m", **fields: Any) -> BuildStep:
    return BuildStep(step=name, status=status, message=message, **fields)


RUNNING = at(1, step(Step.CREATE_VENV, StepStatus.RUNNING, "Create"))
SUCCEEDED = at(2, step(Step.CREATE_VENV, StepStatus.SUCCEEDED, "Created", exit_code=0))
SKIPPED = at(3, step(Step.UPGRADE_PIP, StepStatus.SKIPPED, "uv"))
LOG = at(3, BuildLog(step=Step.CREATE_VENV, stream=Stream.STDOUT, message="hello"))
FAILED = at(4, step(Step.INSTALL_ENGINE, StepStatus.FAILED, "no", exit_code=2))
ENDED_BADLY = at(
    5,
    BuildCompleted(
        status=BuildStatus.FAILED,
        exit_code=2,
        summary="Build failed",
        error_message="no such package",
        reason="InstallEngineFailed",
        hint="check the name",
    ),
)
ENDED_WELL = at(
    5, BuildCompleted(status=BuildStatus.ACTIVE, exit_code=0, summary="Build succeeded")
)


def test_record_begins_with_the_first_event() -> None:
    assert record_of(at(0, CREATED)) == BuildRecord(
        id=build_id(),
        key=KEY,
        status=BuildStatus.QUEUED,
        trigger=Trigger.INITIAL,
        queued_at=NOW,
    )


def test_first_step_starts_the_build_and_later_ones_do_not() -> None:
    later = at(9, step(Step.UPGRADE_PIP, StepStatus.RUNNING))

    record = record_of(at(0, CREATED), [RUNNING, SUCCEEDED, later])

    assert record.status is BuildStatus.BUILDING
    assert record.started_at == RUNNING.time
    assert record.finished_at is None


def test_step_has_one_row_from_its_beginning_to_its_end() -> None:
    record = record_of(at(0, CREATED), [RUNNING])
    assert record.steps == (
        StepProgress(
            name=Step.CREATE_VENV,
            status=StepStatus.RUNNING,
            message="Create",
            started_at=RUNNING.time,
        ),
    )

    record = record.after(SUCCEEDED)
    assert record.steps == (
        StepProgress(
            name=Step.CREATE_VENV,
            status=StepStatus.SUCCEEDED,
            message="Created",
            started_at=RUNNING.time,
            finished_at=SUCCEEDED.time,
            exit_code=0,
        ),
    )


def test_steps_stand_in_their_order_and_a_skipped_one_takes_no_time() -> None:
    record = record_of(at(0, CREATED), [RUNNING, SUCCEEDED, SKIPPED, FAILED])

    assert [(row.name, row.status) for row in record.steps] == [
        (Step.CREATE_VENV, StepStatus.SUCCEEDED),
        (Step.UPGRADE_PIP, StepStatus.SKIPPED),
        (Step.INSTALL_ENGINE, StepStatus.FAILED),
    ]
    assert record.steps[1].started_at == record.steps[1].finished_at == SKIPPED.time


def test_output_changes_nothing() -> None:
    record = record_of(at(0, CREATED), [RUNNING])

    assert record.after(LOG) == record


def test_failed_build_says_why_and_in_which_step() -> None:
    record = record_of(at(0, CREATED), [RUNNING, SUCCEEDED, FAILED, ENDED_BADLY])

    assert record.status is BuildStatus.FAILED
    assert record.finished_at == ENDED_BADLY.time
    assert (record.exit_code, record.summary) == (2, "Build failed")
    assert (record.reason, record.message) == ("InstallEngineFailed", "no such package")
    assert (record.hint, record.failed_step) == ("check the name", Step.INSTALL_ENGINE)


def test_build_that_ended_well_has_no_failure() -> None:
    record = record_of(at(0, CREATED), [RUNNING, SUCCEEDED, ENDED_WELL])

    assert record.status is BuildStatus.ACTIVE
    assert (record.exit_code, record.summary) == (0, "Build succeeded")
    assert (record.reason, record.message, record.failed_step) == (None, None, None)


def test_build_that_never_ran_can_end() -> None:
    record = record_of(at(0, CREATED), [ENDED_BADLY])

    assert (record.status, record.started_at, record.steps) == (BuildStatus.FAILED, None, ())
    assert record.failed_step is None


@pytest.mark.parametrize("first", [RUNNING, LOG, ENDED_WELL], ids=lambda event: event.body.TYPE)
def test_what_begins_otherwise_is_no_journal(first: Event) -> None:
    with pytest.raises(ValueError, match=f"not with {first.body.TYPE}"):
        record_of(first)
