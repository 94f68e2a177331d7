"""The rules of ensure: which build runs, if any, and why."""

from __future__ import annotations

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
    assert decide(known) == Decision(verdict=Verdict.BUILD, trigger=trigger, changed=changed)


def test_source_that_changed_while_it_was_copied_is_tried_again() -> None:
    """It may have changed back since: then the same fingerprint is declared as before."""
    assert decide(facts(newest=ended("SourceChanged"))).verdict is Verdict.BUILD
