"""The rules of ensure: which build runs, if any, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from configbuild.builds.decision import (
    INTERRUPTED,
    OPERATOR_SHUTDOWN,
    SUPERSEDED,
    Decision,
    Facts,
    Verdict,
    decide,
    retry_at,
)
from configbuild.builds.records import BuildRecord
from configbuild.model import BuildStatus, Trigger
from tests.unit.examples import FINGERPRINT, OTHER_FINGERPRINT, record

SAME, OTHER = FINGERPRINT.value, OTHER_FINGERPRINT.value


def facts(**changes: Any) -> Facts:
    """FINGERPRINT is declared, and nothing else is known."""
    usual: dict[str, Any] = {
        "declared": FINGERPRINT,
        "generation_changed": False,
        "active_fingerprint": None,
        "active_usable": False,
        "known_inputs": {},
        "running": None,
        "newest": None,
    }
    return Facts(**{**usual, **changes})


def standing(fingerprint: str = SAME, **changes: Any) -> Facts:
    """An active build stands, made by the newest one."""
    inputs = FINGERPRINT.inputs if fingerprint == SAME else OTHER_FINGERPRINT.inputs
    newest = record(status=BuildStatus.ACTIVE, fingerprint=fingerprint)
    usual = {
        "active_fingerprint": fingerprint,
        "active_usable": True,
        "known_inputs": inputs,
        "newest": newest,
    }
    return facts(**{**usual, **changes})


def ended(
    reason: str, *, fingerprint: str = SAME, trigger: Trigger = Trigger.INITIAL, **changes: Any
) -> BuildRecord:
    usual = {"status": BuildStatus.FAILED, "fingerprint": fingerprint, "trigger": trigger}
    return record(**{**usual, **changes}, reason=reason)


def running(fingerprint: str = SAME, **changes: Any) -> dict[str, Any]:
    runs = record(status=BuildStatus.BUILDING, fingerprint=fingerprint, **changes)
    return {"running": runs, "newest": runs}


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        # Rule 1: the active build.
        pytest.param(standing(), Verdict.REUSE, id="active and current"),
        pytest.param(standing(requested=True), Verdict.REUSE, id="current, and asked for"),
        pytest.param(
            standing(newest=ended("InstallFailed", fingerprint=OTHER)),
            Verdict.REUSE,
            id="current again after another one failed",
        ),
        pytest.param(standing(**running(OTHER)), Verdict.REUSE, id="current, another one runs"),
        # An earlier build is declared again.
        pytest.param(standing(OTHER, kept=True), Verdict.RESTORE, id="kept, another is active"),
        pytest.param(
            standing(OTHER, kept=True, requested=True), Verdict.RESTORE, id="kept, and asked for"
        ),
        pytest.param(
            standing(OTHER, kept=True, **running(OTHER)),
            Verdict.RESTORE,
            id="kept, another one runs",
        ),
        pytest.param(
            standing(OTHER, kept=True, pinned=True), Verdict.REUSE, id="kept, another is pinned"
        ),
        pytest.param(
            standing(OTHER, kept=True, newest=ended("InstallFailed")),
            Verdict.NOTHING,
            id="kept, and forced anew in vain",
        ),
        # Rule 2: what failed stays so.
        pytest.param(facts(newest=ended("InstallFailed")), Verdict.NOTHING, id="failed before"),
        pytest.param(facts(newest=ended("Timeout")), Verdict.NOTHING, id="ran out of time"),
        pytest.param(
            facts(newest=ended("Canceled", status=BuildStatus.CANCELED)),
            Verdict.NOTHING,
            id="canceled by somebody",
        ),
        pytest.param(
            standing(OTHER, newest=ended("InstallFailed")),
            Verdict.NOTHING,
            id="failed before, an older one stands",
        ),
        pytest.param(
            facts(newest=ended(INTERRUPTED, trigger=Trigger.INTERRUPTED)),
            Verdict.NOTHING,
            id="interrupted twice",
        ),
        pytest.param(
            facts(
                newest=ended(INTERRUPTED, trigger=Trigger.INTERRUPTED),
                previous=ended(INTERRUPTED),
            ),
            Verdict.NOTHING,
            id="interrupted twice, both remembered",
        ),
        # Rule 3: the running build.
        pytest.param(facts(**running()), Verdict.JOIN, id="runs already"),
        pytest.param(facts(**running(), requested=True), Verdict.JOIN, id="runs, and asked for"),
        pytest.param(
            standing(**running(trigger=Trigger.FORCED)),
            Verdict.JOIN,
            id="forced build of what is active runs",
        ),
    ],
)
def test_no_build_is_needed(known: Facts, verdict: Verdict) -> None:
    assert decide(known) == Decision(verdict=verdict)


@pytest.mark.parametrize(
    ("known", "trigger", "changed"),
    [
        pytest.param(facts(), Trigger.INITIAL, (), id="first sight"),
        pytest.param(
            standing(OTHER, generation_changed=True),
            Trigger.SPEC_CHANGED,
            ("config",),
            id="spec was edited",
        ),
        pytest.param(
            standing(OTHER), Trigger.SOURCE_CHANGED, ("config",), id="source moved by itself"
        ),
        pytest.param(
            standing(OTHER, known_inputs={**FINGERPRINT.inputs, "config": "0", "engine": "0"}),
            Trigger.SOURCE_CHANGED,
            ("config", "engine"),
            id="both sources moved",
        ),
        pytest.param(
            standing(OTHER, known_inputs={**FINGERPRINT.inputs, "config": "0", "python": "0"}),
            Trigger.SPEC_CHANGED,
            ("config", "python"),
            id="more than the source changed",
        ),
        pytest.param(
            standing(OTHER, requested=True),
            Trigger.SOURCE_CHANGED,
            ("config",),
            id="source moved, and asked for",
        ),
        pytest.param(
            facts(**running(OTHER), known_inputs=OTHER_FINGERPRINT.inputs, generation_changed=True),
            Trigger.SPEC_CHANGED,
            ("config",),
            id="edited while another runs",
        ),
        pytest.param(
            facts(
                newest=ended("InstallFailed", fingerprint=OTHER),
                known_inputs=OTHER_FINGERPRINT.inputs,
                generation_changed=True,
            ),
            Trigger.SPEC_CHANGED,
            ("config",),
            id="mended after a failure",
        ),
        pytest.param(standing(force=True), Trigger.FORCED, (), id="forced though current"),
        pytest.param(
            facts(**running(), force=True), Trigger.FORCED, (), id="forced though it runs"
        ),
        pytest.param(
            facts(newest=ended("InstallFailed"), force=True), Trigger.FORCED, (), id="forced again"
        ),
        pytest.param(
            facts(newest=ended("InstallFailed"), requested=True),
            Trigger.REQUESTED,
            (),
            id="asked for again",
        ),
        pytest.param(standing(active_usable=False), Trigger.MISSING, (), id="venv is gone"),
        pytest.param(
            standing(active_usable=False, newest=ended("InstallFailed", fingerprint=OTHER)),
            Trigger.MISSING,
            (),
            id="venv is gone, another one failed",
        ),
        pytest.param(facts(newest=ended(INTERRUPTED)), Trigger.INTERRUPTED, (), id="operator died"),
        pytest.param(
            facts(
                newest=ended(INTERRUPTED, trigger=Trigger.INTERRUPTED),
                previous=ended(OPERATOR_SHUTDOWN, status=BuildStatus.CANCELED),
            ),
            Trigger.INTERRUPTED,
            (),
            id="interrupted once, after an orderly stop",
        ),
        pytest.param(
            facts(newest=ended(INTERRUPTED, trigger=Trigger.INTERRUPTED), requested=True),
            Trigger.INTERRUPTED,
            (),
            id="interrupted twice, asked for again",
        ),
        pytest.param(
            facts(newest=ended(OPERATOR_SHUTDOWN, status=BuildStatus.CANCELED)),
            Trigger.INTERRUPTED,
            (),
            id="operator was stopped",
        ),
        pytest.param(
            facts(
                newest=ended(
                    OPERATOR_SHUTDOWN, status=BuildStatus.CANCELED, trigger=Trigger.INTERRUPTED
                )
            ),
            Trigger.INTERRUPTED,
            (),
            id="operator was stopped twice",
        ),
        pytest.param(
            facts(
                newest=ended(SUPERSEDED, status=BuildStatus.CANCELED),
                known_inputs=FINGERPRINT.inputs,
                generation_changed=True,
            ),
            Trigger.SPEC_CHANGED,
            (),
            id="edited back to one that was superseded",
        ),
    ],
)
def test_build_is_needed_and_its_trigger_says_why(
    known: Facts, trigger: Trigger, changed: tuple[str, ...]
) -> None:
    found = decide(known)
    assert (found.verdict, found.trigger, found.changed) == (Verdict.BUILD, trigger, changed)
    assert found.changed_from == {name: known.known_inputs.get(name, "") for name in changed}


def test_source_that_changed_while_it_was_copied_is_tried_again() -> None:
    """It may have changed back since: then the same fingerprint is declared as before."""
    assert decide(facts(newest=ended("SourceChanged"))).verdict is Verdict.BUILD


def test_expired_environment_is_built_anew_and_a_failed_renewal_is_not_repeated() -> None:
    expired = standing(active_expired=True, newest=ended("x", status=BuildStatus.ACTIVE))
    assert decide(expired).trigger is Trigger.EXPIRED
    failed = standing(active_expired=True, newest=ended("InstallFailed"))
    assert decide(failed).verdict is Verdict.NOTHING


def test_pinned_build_stands_against_everything_but_force() -> None:
    pinned = standing(OTHER, pinned=True)
    assert decide(pinned).verdict is Verdict.REUSE
    assert decide(standing(OTHER, pinned=True, force=True)).trigger is Trigger.FORCED
    assert decide(standing(OTHER, pinned=True, active_usable=False)).verdict is Verdict.BUILD


def test_failure_that_may_pass_is_tried_again_when_its_time_has_come() -> None:
    newest = ended("IndexUnreachable")
    assert decide(facts(newest=newest)).verdict is Verdict.NOTHING
    assert decide(facts(newest=newest, retry_due=True)).trigger is Trigger.RETRY


@pytest.mark.parametrize(
    ("attempt", "wait_s"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, None)]
)
def test_retries_come_at_growing_intervals_and_end(attempt: int, wait_s: int | None) -> None:
    finished = datetime(2026, 11, 24, tzinfo=UTC)
    newest = replace(ended("IndexUnreachable"), attempt=attempt, finished_at=finished)
    due = retry_at(newest)
    assert due == (finished + timedelta(seconds=wait_s) if wait_s is not None else None)
    assert retry_at(replace(newest, reason="InstallConfigFailed")) is None


@pytest.mark.parametrize("reason", ["SafeMode", "SandboxUnavailable"])
def test_build_that_this_operator_cannot_make_is_made_once_one_can(reason: str) -> None:
    newest = ended(reason)
    hindered = facts(newest=newest, hindrances=frozenset({reason}))
    assert decide(hindered).verdict is Verdict.NOTHING
    assert decide(facts(newest=newest)).trigger is Trigger.RETRY


def test_force_builds_anew_what_is_kept() -> None:
    assert decide(standing(OTHER, kept=True, force=True)).verdict is Verdict.BUILD
