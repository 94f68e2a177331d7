"""The status: every condition in every state, and what is written is what a restart reads back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.builds.attempt import Attempt
from configbuild.builds.records import BuildRecord, StepProgress
from configbuild.builds.state import ConfigState, LastKnown, Problem
from configbuild.events import BuildStep
from configbuild.journal import Journals
from configbuild.kube.recall import recall
from configbuild.kube.status import merge_patch, only_counts, render_status
from configbuild.model import BuildStatus, Step, StepStatus, Trigger
from configbuild.outcome import canceled
from configbuild.resource.status_schema import ConfigBuildStatus
from tests.unit.examples import (
    DETERMINED,
    FINGERPRINT,
    KEY,
    NOW,
    OTHER_FINGERPRINT,
    SUCCEEDED,
    active,
    build_id,
    record,
    request,
)

FAILED = record(
    status=BuildStatus.FAILED,
    started_at=NOW,
    finished_at=NOW,
    exit_code=2,
    summary="Build failed in step install_engine",
    message="uv pip install exited with 2:\nno such package",
    reason="InstallEngineFailed",
    hint="check the name",
    failed_step=Step.INSTALL_ENGINE,
)
CANCELED = record(
    status=BuildStatus.CANCELED, finished_at=NOW, summary="Canceled", message="m", reason="Canceled"
)
INVALID = Problem(reason="InvalidSpec", message="spec.ttl: must be at least 1m", stalled=True)
UNAVAILABLE = Problem(reason="SourceUnavailable", message="spec.config: no answer", stalled=False)
STEP = BuildStep(step=Step.INSTALL_ENGINE, status=StepStatus.RUNNING, message="Install")


def state(**changes: Any) -> ConfigState:
    usual: dict[str, Any] = {
        "key": KEY,
        "uid": "uid-1",
        "generation": 3,
        "fingerprint": FINGERPRINT,
    }
    return ConfigState(**{**usual, **changes})


def render(
    found: ConfigState, previous: dict[str, Any] | None = None, queue_position: int | None = None
) -> dict[str, Any]:
    """Render as the API server gives it back, after it was checked as that would check it."""
    status = render_status(found, queue_position=queue_position, previous=previous or {})
    ConfigBuildStatus.model_validate_json(json.dumps(status))
    stored = json.loads(json.dumps(status))
    assert isinstance(stored, dict)
    return stored


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {row["type"]: row["status"] for row in status["conditions"]}


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    """An attempt that waits, with a real journal."""
    journal = Journals(tmp_path / "logs").create(build_id())
    yield Attempt(request(tmp_path), journal, changed_inputs=("config",))
    journal.close()


def begin(found: ConfigState, attempt: Attempt, *events: BuildStep) -> ConfigState:
    found.begin(attempt)
    for event in events:
        attempt.emit(event)
    found.newest = attempt.record
    return found


WORKING = {"Ready": "False", "Reconciling": "True"}
CURRENT = {"Ready": "True"}
STUCK = {"Ready": "False", "Stalled": "True"}
USABLE = {"Available": "True"}
NOT_USABLE = {"Available": "False"}


@pytest.mark.parametrize(
    ("known", "events", "phase", "reason", "expected"),
    [
        pytest.param(state(), [], "Queued", "Queued", {**WORKING, **NOT_USABLE}, id="first"),
        pytest.param(
            state(active=active(fingerprint="old")),
            [],
            "Queued",
            "Queued",
            {**WORKING, **USABLE},
            id="an older one stands",
        ),
        pytest.param(
            state(), [STEP], "Building", "Building", {**WORKING, **NOT_USABLE}, id="first, it runs"
        ),
        pytest.param(
            state(active=active(), newest=SUCCEEDED),
            [STEP],
            "Building",
            "Building",
            {**WORKING, **USABLE},
            id="forced, the current one stands",
        ),
        pytest.param(
            state(problem=UNAVAILABLE),
            [STEP],
            "Building",
            "Building",
            {**WORKING, **NOT_USABLE},
            id="source went away meanwhile",
        ),
    ],
)
def test_conditions_while_a_build_waits_or_runs(
    known: ConfigState,
    events: list[BuildStep],
    phase: str,
    reason: str,
    expected: dict[str, str],
    attempt: Attempt,
) -> None:
    status = render(begin(known, attempt, *events), queue_position=None if events else 2)

    assert conditions(status) == expected
    assert status["phase"] == phase
    assert {row["reason"] for row in status["conditions"]} - {"ActiveBuild", "NoActiveBuild"} == {
        reason
    }
    assert status.get("step") == (Step.INSTALL_ENGINE if events else None)
    assert status["build"].get("queuePosition") == (None if events else 2)
    assert status["build"]["changed"] == ["config"]
    assert status["log"]["lines"] == 1 + len(events)
    assert status["log"]["bytes"] == attempt.journal.path.stat().st_size
    assert status["log"]["url"] == f"/api/v1/builds/{build_id()}/events"


@pytest.mark.parametrize(
    ("known", "phase", "reason", "expected"),
    [
        pytest.param(
            state(active=active(), newest=SUCCEEDED),
            "Active",
            "BuildSucceeded",
            {**CURRENT, **USABLE},
            id="active and current",
        ),
        pytest.param(
            state(active=active(), newest=replace(FAILED, fingerprint="other")),
            "Active",
            "BuildSucceeded",
            {**CURRENT, **USABLE},
            id="current again after another one failed",
        ),
        pytest.param(
            state(active=active(), newest=SUCCEEDED, suspended=True),
            "Active",
            "BuildSucceeded",
            {**CURRENT, **USABLE},
            id="suspended, and current",
        ),
        pytest.param(
            state(newest=FAILED),
            "Failed",
            "InstallEngineFailed",
            {**STUCK, **NOT_USABLE},
            id="failed",
        ),
        pytest.param(
            state(newest=FAILED, active=active(fingerprint="old")),
            "Failed",
            "InstallEngineFailed",
            {**STUCK, **USABLE},
            id="failed, an older one stands",
        ),
        pytest.param(
            state(newest=CANCELED), "Canceled", "Canceled", {**STUCK, **NOT_USABLE}, id="canceled"
        ),
        pytest.param(
            state(newest=CANCELED, active=active(fingerprint="old")),
            "Canceled",
            "Canceled",
            {**STUCK, **USABLE},
            id="canceled, an older one stands",
        ),
        pytest.param(
            state(problem=INVALID, fingerprint=None),
            "Failed",
            "InvalidSpec",
            {**STUCK, **NOT_USABLE},
            id="invalid",
        ),
        pytest.param(
            state(problem=INVALID, active=active(), newest=SUCCEEDED),
            "Failed",
            "InvalidSpec",
            {**STUCK, **USABLE},
            id="invalid, an older one stands",
        ),
        pytest.param(
            state(problem=UNAVAILABLE, fingerprint=None),
            "Failed",
            "SourceUnavailable",
            {**WORKING, **NOT_USABLE},
            id="retry due",
        ),
        pytest.param(
            state(problem=UNAVAILABLE, active=active(), newest=SUCCEEDED),
            "Failed",
            "SourceUnavailable",
            {**WORKING, **USABLE},
            id="retry due, one stands",
        ),
        pytest.param(
            state(newest=FAILED, suspended=True),
            "Failed",
            "Suspended",
            {**STUCK, **NOT_USABLE},
            id="suspended",
        ),
    ],
)
def test_conditions_while_nothing_runs(
    known: ConfigState, phase: str, reason: str, expected: dict[str, str]
) -> None:
    status = render(known)

    assert conditions(status) == expected
    assert status["phase"] == phase
    ready = status["conditions"][0]
    assert (ready["type"], ready["reason"]) == ("Ready", reason)
    assert ready["message"]
    assert "step" not in status


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(state(fingerprint=None), id="nothing known yet"),
        pytest.param(
            state(fingerprint=OTHER_FINGERPRINT, newest=SUCCEEDED, active=active()),
            id="edited, not yet in line",
        ),
        pytest.param(
            state(fingerprint=OTHER_FINGERPRINT, newest=FAILED), id="mended, not yet in line"
        ),
        pytest.param(
            state(fingerprint=None, newest=SUCCEEDED, active=active()),
            id="right after a restart",
        ),
    ],
)
def test_what_ended_before_says_nothing_of_what_is_declared_now(known: ConfigState) -> None:
    """Stalled=True with the new generation would end everybody's waiting, though a build is due."""
    found = conditions(render(known))

    assert "Stalled" not in found
    assert found["Ready"] == "False"
    assert found["Reconciling"] == "True"


def test_never_seen_object_has_no_conditions_and_nothing_is_recalled_of_it() -> None:
    assert recall(KEY, {"observedGeneration": -1}) == LastKnown()
    assert recall(KEY, {}) == LastKnown()


def test_every_condition_names_the_generation_it_speaks_of() -> None:
    status = render(state(generation=7, newest=FAILED))

    assert status["observedGeneration"] == 7
    assert {row["observedGeneration"] for row in status["conditions"]} == {7}


def test_condition_keeps_its_time_until_its_status_changes() -> None:
    before = "2026-01-01T00:00:00.000000Z"
    previous = render(state(newest=FAILED))
    for row in previous["conditions"]:
        row["lastTransitionTime"] = before

    times = {
        row["type"]: row["lastTransitionTime"]
        for row in render(state(problem=INVALID, active=active()), previous)["conditions"]
    }

    assert times["Ready"] == times["Stalled"] == before
    assert datetime.now(UTC) - datetime.fromisoformat(times["Available"]) < timedelta(minutes=1)


def test_failure_is_told_with_reason_message_hint_and_step() -> None:
    status = render(state(newest=FAILED))

    assert status["build"]["failure"] == {
        "reason": "InstallEngineFailed",
        "message": "uv pip install exited with 2:\nno such package",
        "hint": "check the name",
        "step": "install_engine",
    }
    assert "no such package" in status["conditions"][0]["message"]


def test_earlier_builds_are_told_in_short() -> None:
    status = render(state(newest=SUCCEEDED, history=[replace(FAILED, id=build_id(1))]))

    assert status["history"] == [
        {
            "id": build_id(1),
            "status": "failed",
            "trigger": "Initial",
            "queuedAt": "2026-03-01T12:30:45.123456Z",
            "finishedAt": "2026-03-01T12:30:45.123456Z",
            "reason": "InstallEngineFailed",
        }
    ]


def test_status_is_not_written_again_while_nothing_changes(attempt: Attempt) -> None:
    known = begin(state(active=active(fingerprint="old")), attempt, STEP)
    written = render(known)

    assert merge_patch(written, render(known, written)) == {}


def restarted(status: dict[str, Any]) -> ConfigState:
    """The state that an operator comes to that finds this status and what it declares unchanged."""
    last = recall(KEY, status)
    return state(
        generation=last.generation,
        active=last.active,
        newest=last.newest,
        newest_inputs=last.newest_inputs,
        history=list(last.history),
    )


@pytest.mark.parametrize(
    "newest",
    [SUCCEEDED, FAILED, CANCELED],
    ids=lambda found: found.status,
)
def test_restart_writes_nothing(newest: BuildRecord, attempt: Attempt) -> None:
    """What an attempt left behind, its log too, stands after a restart as it was."""
    known = begin(state(history=[replace(FAILED, id=build_id(1))]), attempt, STEP)
    asyncio.run(attempt.finish(canceled("m", reason="r")))
    known.newest = replace(newest, steps=attempt.record.steps)
    if newest is SUCCEEDED:
        known.active = active()
    written = render(known)
    assert "log" in written

    assert merge_patch(written, render(restarted(written), written)) == {}


TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware by timezones
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
STEPS = st.builds(
    StepProgress,
    name=st.sampled_from(Step),
    status=st.sampled_from(StepStatus),
    message=TEXTS,
    started_at=TIMES,
    finished_at=st.none() | TIMES,
    exit_code=st.none() | st.integers(-64, 255),
)
RECORDS = st.builds(
    BuildRecord,
    id=st.integers(0, 9999).map(build_id),
    key=st.just(KEY),
    status=st.sampled_from(BuildStatus),
    trigger=st.sampled_from(Trigger),
    queued_at=TIMES,
    changed=st.lists(TEXTS, max_size=3).map(tuple),
    fingerprint=TEXTS,
    started_at=st.none() | TIMES,
    finished_at=st.none() | TIMES,
    exit_code=st.none() | st.integers(-64, 255),
    summary=st.none() | TEXTS,
    steps=st.lists(STEPS, max_size=6, unique_by=lambda row: row.name).map(tuple),
)
FAILURES = st.builds(
    replace,
    RECORDS,
    reason=TEXTS,
    message=TEXTS,
    hint=st.none() | TEXTS,
    failed_step=st.none() | st.sampled_from(Step),
)


@DETERMINED
@given(RECORDS | FAILURES, st.lists(RECORDS | FAILURES, max_size=2))
def test_what_is_written_is_what_is_recalled(
    newest: BuildRecord, history: list[BuildRecord]
) -> None:
    known = state(newest=newest, history=history, active=active())

    last = recall(KEY, render(known))

    assert last == LastKnown(
        generation=3,
        active=active(),
        newest=newest,
        newest_inputs=FINGERPRINT.inputs,
        history=tuple(
            BuildRecord(
                id=found.id,
                key=KEY,
                status=found.status,
                trigger=found.trigger,
                queued_at=found.queued_at,
                finished_at=found.finished_at,
                reason=found.reason,
            )
            for found in history
        ),
    )


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda status: status["build"].update(id="x"), id="id"),
        pytest.param(lambda status: status["build"].update(status="exploded"), id="status"),
        pytest.param(lambda status: status["build"].update(trigger="Whim"), id="trigger"),
        pytest.param(lambda status: status["build"].update(queuedAt="today"), id="time"),
        pytest.param(lambda status: status["build"].pop("fingerprint"), id="missing field"),
        pytest.param(lambda status: status["active"].pop("venvPath"), id="missing path"),
        pytest.param(lambda status: status["history"][0].update(status="?"), id="history"),
        pytest.param(lambda status: status["steps"][0].update(name="paint"), id="step"),
    ],
)
def test_what_cannot_be_read_counts_as_unknown(damage: Callable[[dict[str, Any]], object]) -> None:
    row = StepProgress(
        name=Step.CREATE_VENV, status=StepStatus.SUCCEEDED, message="m", started_at=NOW
    )
    status = render(
        state(newest=replace(SUCCEEDED, steps=(row,)), active=active(), history=[FAILED])
    )
    assert recall(KEY, status).newest is not None

    damage(status)

    assert recall(KEY, status) == LastKnown()


def monster(character: str) -> ConfigState:
    """A state in which a build said all it could, and said it at length."""
    text = character * 200_000
    row = StepProgress(
        name=Step.CREATE_VENV, status=StepStatus.FAILED, message=text, started_at=NOW
    )
    told = replace(FAILED, message=text, hint=text, summary=text)
    return state(
        newest=replace(told, steps=tuple(replace(row, name=name) for name in Step)),
        active=active(fingerprint="old"),
        history=[replace(told, id=build_id(number)) for number in range(50)],
    )


@pytest.mark.parametrize("character", ["x", "ä", "€", "😀", "\u0001", '"', "\n"], ids=ascii)
@pytest.mark.parametrize("problem", [None, INVALID], ids=["failed", "invalid"])
def test_status_stays_small_whatever_a_build_prints(
    character: str, problem: Problem | None
) -> None:
    known = monster(character)
    if problem is not None:
        known.problem = replace(problem, message=character * 200_000)

    status = render(known)

    # As the API server stores it: UTF-8, only what JSON demands is escaped.
    assert len(json.dumps(status, ensure_ascii=False).encode()) < 64 * 1024


def test_text_that_is_cut_says_so() -> None:
    message = render(monster("x"))["build"]["failure"]["message"]

    assert message.endswith("x …")
    assert len(message) <= 4096


LEAVES = st.integers() | st.text(max_size=2) | st.lists(st.integers(), max_size=2)
DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        LEAVES,
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)


def apply(target: Any, patch: Any) -> Any:
    """Apply a merge patch, as RFC 7386 writes it down."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = apply(found.get(name), value)
    return found


@DETERMINED
@given(DOCUMENTS, DOCUMENTS)
def test_merge_patch_turns_old_into_new_and_is_empty_only_if_they_are_equal(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    patch = merge_patch(old, new)

    assert apply(old, patch) == new
    assert (patch == {}) is (old == new)


def test_merge_patch_holds_nothing_that_stays() -> None:
    old = {"a": {"x": 1, "y": [1]}, "b": 1, "c": {"z": 1}}
    new = {"a": {"x": 2, "y": [1]}, "b": 1}

    assert merge_patch(old, new) == {"a": {"x": 2}, "c": None}


@pytest.mark.parametrize(
    ("patch", "says_little"),
    [
        ({"log": {"lines": 3, "bytes": 400}}, True),
        ({"log": {"bytes": 400}}, True),
        ({"log": {"lines": 3, "configMaps": []}}, False),
        ({"log": None}, False),
        ({"log": {"lines": 3}, "step": "install_config"}, False),
        ({"step": "install_config"}, False),
        ({}, False),
    ],
)
def test_a_patch_that_only_counts_lines_is_known(
    patch: dict[str, Any], *, says_little: bool
) -> None:
    assert only_counts(patch) is says_little
