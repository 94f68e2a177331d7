"""ConfigBuilds in every state, each with the status that the operator's own code writes for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from configbuild.builds.attempt import Attempt
from configbuild.builds.state import ConfigState, Problem
from configbuild.builds.tokens import TokenKind, read_tokens
from configbuild.events import BuildStep
from configbuild.journal import Journals
from configbuild.kube.status import render_status
from configbuild.model import BuildStatus, Step, StepStatus
from configbuild.resource.crd import render_yaml
from tests.unit.examples import (
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

GENERATION = 3

_FAILED = record(
    id=build_id(2),
    status=BuildStatus.FAILED,
    started_at=NOW,
    finished_at=NOW,
    exit_code=2,
    summary="Build failed in step install_config",
    message="no such package",
    reason="NoMatchingDistribution",
    hint="check the name",
    failed_step=Step.INSTALL_CONFIG,
)
_UNREACHABLE = replace(_FAILED, reason="IndexUnreachable", finished_at=datetime.now(UTC))
_CANCELED = record(
    id=build_id(2),
    status=BuildStatus.CANCELED,
    finished_at=NOW,
    summary="Canceled",
    message="canceled by ade.dev/cancel",
    reason="Canceled",
)
_EARLIER = replace(SUCCEEDED, id=build_id(1), fingerprint="old")
_OLD = active(build_id=build_id(1), fingerprint="old")
_INVALID = Problem(reason="InvalidSpec", message="spec.ttl: must be at least 1m", stalled=True)
_MISSING = Problem(reason="ConfigMapNotFound", message="no ConfigMap invoices", stalled=True)
_NOT_NOW = Problem(reason="SourceUnavailable", message="spec.config: no answer", stalled=False)
_STEP = BuildStep(step=Step.INSTALL_ENGINE, status=StepStatus.RUNNING, message="Install")
_INVALID_ANNOTATION = {"ade.dev/force": "not a token"}


Words: TypeAlias = tuple[str, str, str]
"""What Argo CD, Flux and kstatus say."""

_WELL: Words = ("Healthy", "Current", "Current")
_WORKING: Words = ("Progressing", "InProgress", "InProgress")
_STUCK: Words = ("Degraded", "Failed", "Failed")
_HELD: Words = ("Suspended", "Failed", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """An object in one state; ``row`` is what docs/lifecycle.md calls that, if it has a row."""

    name: str
    row: str = ""
    expected: Words
    body: Mapping[str, Any]


def recordings(directory: Path) -> list[Recording]:
    """Record every state; journals of builds that wait or run are made in ``directory``."""
    return [*_fresh(), *_underway(directory), *_at_rest(), *_marked()]


def _fresh() -> Iterator[Recording]:
    """What the operator has not written to yet: as the API server stores it, and worse."""
    crd = yaml.safe_load(render_yaml())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    default = schema["properties"]["status"]["default"]
    yield Recording(name="never seen", row="never seen", expected=_WORKING, body=_body(default))
    # kstatus takes what has no status for done: the schema's default is what keeps it from that.
    expected = (*_WORKING[:2], "Current")
    yield Recording(name="empty status", expected=expected, body=_body({}))


def _underway(directory: Path) -> Iterator[Recording]:
    cases: list[tuple[str, str, ConfigState, list[BuildStep]]] = [
        ("waits", "waits", _state(), []),
        ("runs", "runs", _state(), [_STEP]),
        ("runs, an older one stands", "runs", _state(active=_OLD, newest=_EARLIER), [_STEP]),
        ("runs by force", "runs", _state(active=active(), newest=SUCCEEDED), [_STEP]),
    ]
    for number, (name, row, state, events) in enumerate(cases):
        with _attempt(directory / str(number)) as attempt:
            state.begin(attempt)
            for event in events:
                attempt.emit(event)
            state.newest = attempt.record
            yield Recording(name=name, row=row, expected=_WORKING, body=_rendered(state))


def _at_rest() -> Iterator[Recording]:
    current = {"active": active(), "newest": SUCCEEDED}
    stopped = replace(_CANCELED, reason="OperatorShutdown")
    cases: list[tuple[str, str, Words, dict[str, Any]]] = [
        ("active", "active and current", _WELL, current),
        (
            "active, with an earlier one",
            "active and current",
            _WELL,
            {**current, "history": [_FAILED, _EARLIER]},
        ),
        ("suspended, and current", "active and current", _WELL, {**current, "suspended": True}),
        ("pinned", "pinned", _WELL, {"active": _OLD, "newest": SUCCEEDED, "pinned": True}),
        ("invalid", "spec invalid, source missing", _STUCK, {"problem": _INVALID}),
        (
            "source missing, one stands",
            "spec invalid, source missing",
            _STUCK,
            {**current, "problem": _MISSING},
        ),
        ("source not now", "source or queue not now", _WORKING, {"problem": _NOT_NOW}),
        ("suspended, never built", "suspended, not current", _HELD, {"suspended": True}),
        (
            "suspended, edited since",
            "suspended, not current",
            _HELD,
            {"suspended": True, "active": _OLD, "newest": _EARLIER},
        ),
        ("will be retried", "failed, will be retried", _WORKING, {"newest": _UNREACHABLE}),
        ("stopped", "stopped with the operator", _WORKING, {"newest": stopped}),
        ("failed", "failed for good", _STUCK, {"newest": _FAILED}),
        ("failed, one stands", "failed for good", _STUCK, {"newest": _FAILED, "active": _OLD}),
        (
            "expired, its rebuild failed",
            "failed for good",
            _STUCK,
            {"newest": _FAILED, "active": active(), "ttl_s": 60.0},
        ),
        ("canceled", "canceled", _STUCK, {"newest": _CANCELED}),
        ("canceled, one stands", "canceled", _STUCK, {"newest": _CANCELED, "active": _OLD}),
        (
            "edited, not yet in line",
            "not looked at since an edit",
            _WORKING,
            {**current, "fingerprint": OTHER_FINGERPRINT},
        ),
    ]
    for name, row, expected, known in cases:
        yield Recording(name=name, row=row, expected=expected, body=_rendered(_state(**known)))


def _marked() -> Iterator[Recording]:
    """What comes on top of a state."""
    current = {"active": active(), "newest": SUCCEEDED}
    faults = dict(read_tokens(_INVALID_ANNOTATION).faults)
    assert set(faults) == {TokenKind.FORCE}
    body = _rendered(_state(**current, faults=faults), annotations=_INVALID_ANNOTATION)
    yield Recording(name="invalid annotation", expected=_WELL, body=body)
    expected = (*_WORKING[:2], "Terminating")
    body = _rendered(_state(**current), deletionTimestamp="2026-03-01T12:31:00Z")
    yield Recording(name="being deleted", expected=expected, body=body)


def _state(**changes: Any) -> ConfigState:
    usual = {"key": KEY, "uid": "uid-1", "generation": GENERATION, "fingerprint": FINGERPRINT}
    return ConfigState(**{**usual, **changes})


def _rendered(state: ConfigState, **metadata: Any) -> dict[str, Any]:
    status = render_status(state, queue_position=None, previous={})
    stored = json.loads(json.dumps(status))
    return _body(stored, suspended=state.suspended, **metadata)


def _body(status: Any, *, suspended: bool = False, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": "uid-1",
            "generation": GENERATION,
            **metadata,
        },
        "spec": {"config": {"path": "config"}, **({"suspend": True} if suspended else {})},
        "status": status,
    }


@contextmanager
def _attempt(directory: Path) -> Iterator[Attempt]:
    journal = Journals(directory).create(build_id(3))
    yield Attempt(request(directory, build_id=build_id(3)), journal, changed_inputs=())
    journal.close()
