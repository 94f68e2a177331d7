"""From the state of a config to the status of its object. Pure; :mod:`.recall` is the way back.

One function writes every condition, so that no two of them can speak of different moments:

=============================  =====  ===========  =======  =========================
state                          Ready  Reconciling  Stalled  Available
=============================  =====  ===========  =======  =========================
queued, building, retry due    False  True         -        whether an active build is
active and current             True   -            -        True
failed, canceled, invalid      False  -            True     whether an active build is
=============================  =====  ===========  =======  =========================

A dash means that the condition is absent, as kstatus wants it of conditions that are bad news.
``InvalidAnnotation`` is one more of that kind: an annotation asks for what cannot be done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from configbuild.builds.decision import is_due_again, retry_at
from configbuild.builds.records import BuildRecord, StepProgress
from configbuild.builds.state import ConfigState
from configbuild.events import rfc3339
from configbuild.failures import with_hint
from configbuild.logstore import StoredLog
from configbuild.model import BuildStatus

# Bytes of JSON, below the bounds of the schema; the whole status stays well below 64 KiB whatever a
# build prints. What fails is told whole once (Ready), and in short elsewhere.
_LONG = 4096
_SHORT = 1024
_ROW = 512

# Bytes that one character takes as JSON, at most: \u0001.
_LONGEST_ESCAPE = 6

_PHASES = {
    BuildStatus.QUEUED: "Queued",
    BuildStatus.BUILDING: "Building",
    BuildStatus.ACTIVE: "Active",
    BuildStatus.FAILED: "Failed",
    BuildStatus.CANCELED: "Canceled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """The state of a config in the terms of conditions."""

    phase: str
    reason: str
    message: str
    ready: bool = False
    reconciling: bool = False


def render_status(
    state: ConfigState, *, queue_position: int | None, previous: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the whole status; ``previous`` is the one that stands, for its transition times."""
    standing = _standing(state)
    newest = state.newest
    status: dict[str, Any] = {
        "observedGeneration": state.generation,
        "phase": standing.phase,
        "step": _running_step(newest),
        "conditions": _conditions(state, standing, previous.get("conditions") or []),
        "active": _active(state),
        "build": _build(state, newest, queue_position) if newest else None,
        "steps": [_step(step) for step in newest.steps] if newest and newest.steps else None,
        "fingerprint": _fingerprint(state),
        "log": _log(state, previous),
        "handled": _handled(state) or None,
        "history": [_history(record) for record in state.history] or None,
    }
    written: dict[str, Any] = _without_none(status)
    return written


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Make the JSON merge patch (RFC 7386) that turns ``old`` into ``new``; empty if equal."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        # JSON data, so dicts: to ask for any Mapping takes longer than all the rest.
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[name] = inner
        elif value != before:
            patch[name] = value
    return patch


def only_counts(patch: Mapping[str, Any]) -> bool:
    """Tell whether a patch of a status says no more than how long the log is."""
    log = patch.get("log")
    return patch.keys() == {"log"} and isinstance(log, Mapping) and log.keys() <= {"lines", "bytes"}


def _standing(state: ConfigState) -> _Standing:
    problem = state.problem
    if state.running is not None:
        return _standing_while_running(state.running.record)
    if problem is not None:
        return _Standing(
            phase="Failed",
            reason=problem.reason,
            message=problem.message,
            reconciling=not problem.stalled,
        )
    return _standing_at_rest(state)


def _standing_at_rest(state: ConfigState) -> _Standing:
    newest, declared = state.newest, state.fingerprint
    if state.pinned and state.active:
        return _Standing(
            phase="Active",
            ready=True,
            reason="Pinned",
            message=f"{state.active.build_id} was chosen by ade.dev/activate and stands until that"
            " annotation is removed or the spec changes",
        )
    if declared and state.active and _is_current(state, declared.value):
        return _Standing(
            phase="Active",
            ready=True,
            reason="BuildSucceeded",
            message=f"{state.active.build_id} is active: Python {state.active.python},"
            f" {state.active.engine}",
        )
    if state.suspended:
        return _Standing(
            phase=_PHASES[newest.status] if newest else "Canceled",
            reason="Suspended",
            message="spec.suspend is true: no build is started",
        )
    if newest is not None and newest.status.ended and _speaks_of(newest, state):
        return _Standing(
            phase=_PHASES[newest.status],
            reason=newest.reason or "BuildFailed",
            message=with_hint(newest.message or newest.summary or "", newest.hint),
            reconciling=newest.status is not BuildStatus.ACTIVE
            and (is_due_again(newest, state.previous) or retry_at(newest) is not None),
        )
    return _Standing(
        phase="Queued", reason="Reconciling", message="looking at the spec", reconciling=True
    )


def _is_current(state: ConfigState, fingerprint: str) -> bool:
    """Tell whether the active build is what is declared, and nothing says that it is too old."""
    newest = state.newest
    failed_since = newest is not None and newest.status is not BuildStatus.ACTIVE
    too_old = state.is_expired(datetime.now(UTC)) and failed_since
    return state.active is not None and state.active.fingerprint == fingerprint and not too_old


def _speaks_of(record: BuildRecord, state: ConfigState) -> bool:
    """Tell whether a build was of what is declared now; others say nothing of it."""
    return state.fingerprint is not None and record.fingerprint == state.fingerprint.value


def _standing_while_running(record: BuildRecord) -> _Standing:
    if record.status is BuildStatus.QUEUED:
        message = f"{record.id} waits for its turn ({record.trigger})"
        return _Standing(phase="Queued", reason="Queued", message=message, reconciling=True)
    step = record.steps[-1].name if record.steps else None
    message = f"{record.id} runs ({record.trigger})" + (f": step {step}" if step else "")
    return _Standing(phase="Building", reason="Building", message=message, reconciling=True)


def _conditions(
    state: ConfigState, standing: _Standing, previous: list[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    reason, message = standing.reason, standing.message
    active = state.active
    wanted = [("Ready", standing.ready, reason, message)]
    if standing.reconciling:
        wanted.append(("Reconciling", True, reason, message))
    elif not standing.ready:
        wanted.append(("Stalled", True, reason, message))
    if active is not None:
        wanted.append(("Available", True, "ActiveBuild", f"{active.build_id} can be used"))
    else:
        wanted.append(("Available", False, "NoActiveBuild", "no build was verified yet"))
    if state.faults:
        wanted.append(("InvalidAnnotation", True, "InvalidToken", "; ".join(state.faults.values())))
    times = {(row["type"], row["status"]): row["lastTransitionTime"] for row in previous}
    now = _time(datetime.now(UTC))
    return [
        {
            "type": kind,
            "status": str(holds),
            "observedGeneration": state.generation,
            "lastTransitionTime": times.get((kind, str(holds)), now),
            "reason": why,
            "message": _cut(text, _LONG if kind == "Ready" else _SHORT),
        }
        for kind, holds, why, text in wanted
    ]


def _running_step(record: BuildRecord | None) -> str | None:
    if record is None or record.status is not BuildStatus.BUILDING or not record.steps:
        return None
    return record.steps[-1].name


def _active(state: ConfigState) -> dict[str, Any] | None:
    active = state.active
    if active is None:
        return None
    return {
        "buildId": active.build_id,
        "venvPath": active.venv_path,
        "fingerprint": active.fingerprint,
        "python": active.python,
        "engine": active.engine,
        "builtAt": _time(active.built_at),
        "expiresAt": _time(state.expires_at),
        "pinned": True if state.pinned else None,
    }


def _build(state: ConfigState, record: BuildRecord, queue_position: int | None) -> dict[str, Any]:
    failure = None
    if record.reason is not None:
        failure = {
            "reason": record.reason,
            "message": _cut(record.message or record.summary or "", _LONG),
            "hint": _cut(record.hint, _SHORT) if record.hint else None,
            "step": record.failed_step,
        }
    return {
        "id": record.id,
        "status": record.status,
        "trigger": record.trigger,
        "changed": list(record.changed) or None,
        "changedFrom": dict(record.changed_from) or None,
        "fingerprint": record.fingerprint,
        "attempt": record.attempt if record.attempt > 1 else None,
        "retryAt": _time(state.retry_at(datetime.now(UTC))),
        "queuePosition": queue_position,
        "queuedAt": _time(record.queued_at),
        "startedAt": _time(record.started_at),
        "finishedAt": _time(record.finished_at),
        "exitCode": record.exit_code,
        "summary": _cut(record.summary, _SHORT) if record.summary else None,
        "failure": failure,
    }


def _step(step: StepProgress) -> dict[str, Any]:
    return {
        "name": step.name,
        "status": step.status,
        "startedAt": _time(step.started_at),
        "finishedAt": _time(step.finished_at),
        "exitCode": step.exit_code,
        "message": _cut(step.message, _ROW),
    }


def _fingerprint(state: ConfigState) -> dict[str, Any] | None:
    if state.fingerprint is None:
        return None
    return {"value": state.fingerprint.value, "inputs": dict(state.fingerprint.inputs)}


def _log(state: ConfigState, previous: Mapping[str, Any]) -> dict[str, Any] | None:
    attempt = state.attempt
    copy = _log_copy(state.newest.log if state.newest is not None else None) or {}
    if attempt is None and state.healed_log is not None:
        told = state.healed_log
        return {
            **copy,
            "lines": told.last.id,
            "bytes": told.size_bytes,
            "truncated": told.truncated or copy.get("truncated"),
            "url": f"/api/v1/builds/{told.created.build_id}/events",
        }
    if attempt is None:
        # Written by an earlier process, and still true: a journal does not grow after its end.
        known: dict[str, Any] | None = previous.get("log") if state.newest else None
        return {**known, **copy} if known else None
    return {
        **copy,
        "lines": attempt.journal.last_id,
        "bytes": attempt.journal.size,
        "truncated": attempt.journal.truncated or copy.get("truncated"),
        "url": f"/api/v1/builds/{attempt.record.id}/events",
    }


def _log_copy(log: StoredLog | None) -> dict[str, Any] | None:
    if log is None:
        return None
    return {
        "store": log.store,
        "complete": log.complete,
        "truncated": log.truncated or None,
        "problem": _cut(log.problem, _ROW) if log.problem else None,
        "configMaps": [
            {"name": chunk.name, "uid": chunk.uid, "sha256": chunk.sha256} for chunk in log.chunks
        ]
        or None,
    }


def _handled(state: ConfigState) -> dict[str, Any]:
    return {
        kind.value: {
            "token": handled.token,
            "generation": handled.generation,
            "buildId": handled.build_id,
        }
        for kind, handled in state.handled.items()
    }


def _history(record: BuildRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "status": record.status,
        "trigger": record.trigger,
        "queuedAt": _time(record.queued_at),
        "finishedAt": _time(record.finished_at),
        "reason": record.reason,
        "log": _log_copy(record.log),
    }


def _time(time: datetime | None) -> str | None:
    return rfc3339(time) if time is not None else None


def _cut(text: str, limit: int) -> str:
    """Cut a text so that it takes at most ``limit`` bytes as JSON, and say so where it was."""
    if len(text) * _LONGEST_ESCAPE <= limit or _json_size(text) <= limit:
        return text
    kept = text[:limit]
    while (size := _json_size(kept)) > limit - len(" …".encode()):
        kept = kept[: max(1, len(kept) * limit // size - len(" …".encode()))]
    return f"{kept} …"


def _json_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
