"""After the operator's death journal, record and directory say the same again, once and for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from configbuild.builds.decision import INTERRUPTED, OPERATOR_SHUTDOWN
from configbuild.builds.healing import heal
from configbuild.builds.records import BuildRecord, StepProgress
from configbuild.events import BuildCompleted, BuildCreated, BuildStep, Event
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildStatus, Step, StepStatus
from configbuild.outcome import canceled, failed
from configbuild.receipt import SCHEMA
from tests.unit.examples import CREATED, KEY, NOW, build_id, layout, record

BUILD = build_id()
RUNNING = BuildStep(step=Step.CREATE_VENV, status=StepStatus.RUNNING, message="Create")
SUCCEEDED = replace(RUNNING, status=StepStatus.SUCCEEDED, message="Created", exit_code=0)
ACTIVE = BuildCompleted(status=BuildStatus.ACTIVE, exit_code=0, summary="Build succeeded")

# As the status told it last: journals know more, since a status is written later and more rarely.
LEFT = record(
    status=BuildStatus.BUILDING,
    started_at=NOW,
    changed=("config",),
    steps=(
        StepProgress(
            name=Step.CREATE_VENV, status=StepStatus.RUNNING, message="Create", started_at=NOW
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Left:
    """What a dead operator left on disk."""

    layout: Layout
    journals: Journals

    @property
    def venv(self) -> Path:
        return self.layout.build(KEY, BUILD).venv

    @property
    def journal(self) -> Path:
        return self.journals.path(BUILD)

    def write(self, *bodies: BuildCreated | BuildStep | BuildCompleted) -> None:
        writer = self.journals.create(BUILD)
        for body in bodies:
            writer.append(body)
        writer.close()

    def write_receipt(self) -> None:
        receipt = self.layout.build(KEY, BUILD).receipt
        receipt.parent.mkdir()
        receipt.write_text(json.dumps({"schema": SCHEMA, "build_id": BUILD}))

    def heal(self, found: BuildRecord = LEFT) -> BuildRecord:
        return heal(found, journals=self.journals, layout=self.layout)

    def events(self) -> list[Event]:
        return list(self.journals.events(BUILD))


@pytest.fixture
def left(tmp_path: Path) -> Left:
    """A venv with something in it, and no journal."""
    made = Left(layout(tmp_path), Journals(tmp_path / "logs"))
    made.venv.mkdir(parents=True)
    (made.venv / "pyvenv.cfg").touch()
    return made


def nothing(_: Left) -> None:
    """No journal: the disk is another one than before."""


def empty(left: Left) -> None:
    left.journal.parent.mkdir()
    left.journal.touch()


def torn_first_line(left: Left) -> None:
    left.write(CREATED)
    with left.journal.open("r+b") as file:
        file.truncate(20)


def without_end(left: Left) -> None:
    left.write(CREATED, RUNNING, SUCCEEDED)


def torn_tail(left: Left) -> None:
    left.write(CREATED, RUNNING, SUCCEEDED, ACTIVE)
    with left.journal.open("r+b") as file:
        file.truncate(left.journal.stat().st_size - 10)


def hole_at_the_end(left: Left) -> None:
    left.write(CREATED, RUNNING)
    with left.journal.open("ab") as file:
        file.write(bytes(300) + b"\n")


def failed_end(left: Left) -> None:
    left.write(CREATED, failed("no space", reason="InternalError", exit_code=1).event())


def canceled_end(left: Left) -> None:
    left.write(CREATED, canceled("by hand", reason="Canceled").event())


def active_with_receipt(left: Left) -> None:
    left.write(CREATED, RUNNING, SUCCEEDED, ACTIVE)
    left.write_receipt()


def active_without_receipt(left: Left) -> None:
    left.write(CREATED, RUNNING, SUCCEEDED, ACTIVE)


def receipt_without_end(left: Left) -> None:
    left.write(CREATED, RUNNING, SUCCEEDED)
    left.write_receipt()


INTERRUPTIONS = [
    nothing,
    empty,
    torn_first_line,
    without_end,
    torn_tail,
    hole_at_the_end,
    receipt_without_end,
]
ALL = [*INTERRUPTIONS, failed_end, canceled_end, active_with_receipt, active_without_receipt]

Death = Callable[[Left], None]


def deaths(found: list[Death]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "death", [pytest.param(each, id=each.__name__.replace("_", " ")) for each in found]
    )


@deaths(INTERRUPTIONS)
def test_build_that_did_not_end_was_interrupted(left: Left, death: Death) -> None:
    death(left)

    healed = left.heal()

    assert (healed.status, healed.reason) == (BuildStatus.FAILED, INTERRUPTED)
    assert healed.message == "the operator ended while this build ran"
    assert healed.summary == "Build failed"
    assert healed.finished_at is not None
    assert not left.venv.exists()


@deaths([each for each in INTERRUPTIONS if each is not nothing])
def test_journal_is_whole_from_its_first_event_to_its_one_last(left: Left, death: Death) -> None:
    death(left)

    healed = left.heal()

    events = left.events()
    assert isinstance(events[0].body, BuildCreated)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    last = events[-1]
    assert isinstance(last.body, BuildCompleted)
    assert (last.body.status, last.body.reason) == (BuildStatus.FAILED, INTERRUPTED)
    assert healed.finished_at == last.time
    assert sum(isinstance(event.body, BuildCompleted) for event in events) == 1


@deaths([without_end, torn_tail, hole_at_the_end])
def test_what_the_journal_told_before_stays(left: Left, death: Death) -> None:
    death(left)
    left.heal()

    assert [event.body for event in left.events()[:2]] == [CREATED, RUNNING]


@pytest.mark.parametrize(
    ("death", "status", "reason", "message"),
    [
        (failed_end, BuildStatus.FAILED, "InternalError", "no space"),
        (canceled_end, BuildStatus.CANCELED, "Canceled", "by hand"),
    ],
    ids=["failed", "canceled"],
)
def test_end_that_the_journal_knows_stands_and_the_directory_goes(
    left: Left, death: Death, status: BuildStatus, reason: str, message: str
) -> None:
    death(left)
    before = left.journal.read_bytes()

    healed = left.heal()

    assert (healed.status, healed.reason, healed.message) == (status, reason, message)
    assert healed.finished_at == left.events()[-1].time
    assert not left.venv.exists()
    assert left.journal.read_bytes() == before


def test_verified_build_is_active_and_nothing_of_it_is_touched(left: Left) -> None:
    active_with_receipt(left)
    before = left.journal.read_bytes()

    healed = left.heal()

    assert (healed.status, healed.reason, healed.exit_code) == (BuildStatus.ACTIVE, None, 0)
    assert (left.venv / "pyvenv.cfg").exists()
    assert left.journal.read_bytes() == before


def test_build_without_a_receipt_was_never_verified_whatever_its_journal_says(left: Left) -> None:
    active_without_receipt(left)

    healed = left.heal()

    assert (healed.status, healed.reason) == (BuildStatus.FAILED, INTERRUPTED)
    assert healed.summary != "Build succeeded"
    assert healed.exit_code != 0
    assert healed.message
    assert not left.venv.exists()


@deaths(ALL)
def test_no_step_of_a_healed_build_still_runs(left: Left, death: Death) -> None:
    death(left)

    assert all(row.status is not StepStatus.RUNNING for row in left.heal().steps)


@deaths(ALL)
def test_what_only_the_status_knows_is_kept(left: Left, death: Death) -> None:
    death(left)

    healed = left.heal()

    assert (healed.id, healed.key, healed.trigger) == (LEFT.id, LEFT.key, LEFT.trigger)
    assert (healed.fingerprint, healed.changed) == (LEFT.fingerprint, LEFT.changed)
    assert (healed.queued_at, healed.started_at) == (LEFT.queued_at, LEFT.started_at)


@deaths(ALL)
def test_healing_twice_gives_the_same(left: Left, death: Death) -> None:
    death(left)
    healed = left.heal()
    files = sorted(left.layout.venvs.rglob("*"))
    journal = left.journal.read_bytes() if left.journal.exists() else None

    assert left.heal(healed) == healed
    # Also if the operator died again before the status told of it.
    again = left.heal()
    assert again == (replace(healed, finished_at=again.finished_at) if death is nothing else healed)
    assert sorted(left.layout.venvs.rglob("*")) == files
    assert (left.journal.read_bytes() if left.journal.exists() else None) == journal


def test_build_that_waited_was_not_interrupted_since_it_never_ran(left: Left) -> None:
    left.write(CREATED)

    healed = left.heal(record())

    assert (healed.status, healed.reason, healed.started_at) == (
        BuildStatus.CANCELED,
        OPERATOR_SHUTDOWN,
        None,
    )


def test_build_that_had_begun_before_anybody_was_told_was_interrupted(left: Left) -> None:
    left.write(CREATED, RUNNING)

    healed = left.heal(record())

    assert (healed.status, healed.reason) == (BuildStatus.FAILED, INTERRUPTED)
    assert healed.started_at is not None


def test_other_builds_of_the_config_are_left_alone(left: Left) -> None:
    other = left.layout.build(KEY, build_id(1)).venv
    other.mkdir()
    without_end(left)
    left.heal()

    assert other.exists()
