"""From the status of an object back to what is known of its config, after a restart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from configbuild.builds.records import BuildRecord, StepProgress
from configbuild.builds.state import ActiveBuild, LastKnown
from configbuild.builds.tokens import Handled, TokenKind
from configbuild.logstore.config_maps import recall_log
from configbuild.model import BuildId, BuildStatus, ConfigKey, Step, StepStatus, Trigger


def recall(key: ConfigKey, status: Mapping[str, Any]) -> LastKnown:
    """Read what an earlier operator wrote; what cannot be read counts as unknown."""
    fingerprint = status.get("fingerprint") or {}
    try:
        return LastKnown(
            generation=int(status.get("observedGeneration", -1)),
            active=_recall_active(status.get("active"), fingerprint),
            newest=_recall_build(key, status),
            newest_inputs=dict(fingerprint.get("inputs") or {}),
            history=tuple(_recall_history(key, row) for row in status.get("history") or ()),
            handled=_recall_handled(status.get("handled") or {}),
        )
    except (KeyError, TypeError, ValueError):
        return LastKnown()


def _recall_active(
    active: Mapping[str, Any] | None, fingerprint: Mapping[str, Any]
) -> ActiveBuild | None:
    if not active:
        return None
    same = fingerprint.get("value") == active["fingerprint"]
    return ActiveBuild(
        build_id=BuildId.parse(active["buildId"]),
        venv_path=active["venvPath"],
        fingerprint=active["fingerprint"],
        inputs=dict(fingerprint["inputs"]) if same else {},
        python=active.get("python", ""),
        engine=active.get("engine", ""),
        built_at=datetime.fromisoformat(active["builtAt"]),
    )


def _recall_build(key: ConfigKey, status: Mapping[str, Any]) -> BuildRecord | None:
    build = status.get("build")
    if not build:
        return None
    failure = build.get("failure") or {}
    return BuildRecord(
        id=BuildId.parse(build["id"]),
        key=key,
        status=BuildStatus(build["status"]),
        trigger=Trigger(build["trigger"]),
        queued_at=datetime.fromisoformat(build["queuedAt"]),
        changed=tuple(build.get("changed") or ()),
        changed_from=dict(build.get("changedFrom") or {}),
        fingerprint=build["fingerprint"],
        attempt=build.get("attempt") or 1,
        started_at=_recall_time(build.get("startedAt")),
        finished_at=_recall_time(build.get("finishedAt")),
        exit_code=build.get("exitCode"),
        summary=build.get("summary"),
        message=failure.get("message"),
        reason=failure.get("reason"),
        hint=failure.get("hint"),
        failed_step=Step(failure["step"]) if failure.get("step") else None,
        steps=tuple(_recall_step(row) for row in status.get("steps") or ()),
        log=recall_log(status.get("log")),
    )


def _recall_step(row: Mapping[str, Any]) -> StepProgress:
    return StepProgress(
        name=Step(row["name"]),
        status=StepStatus(row["status"]),
        message=row.get("message", ""),
        started_at=datetime.fromisoformat(row["startedAt"]),
        finished_at=_recall_time(row.get("finishedAt")),
        exit_code=row.get("exitCode"),
    )


def _recall_history(key: ConfigKey, row: Mapping[str, Any]) -> BuildRecord:
    return BuildRecord(
        id=BuildId.parse(row["id"]),
        key=key,
        status=BuildStatus(row["status"]),
        trigger=Trigger(row["trigger"]),
        queued_at=datetime.fromisoformat(row["queuedAt"]),
        finished_at=_recall_time(row.get("finishedAt")),
        reason=row.get("reason"),
        log=recall_log(row.get("log")),
    )


def _recall_handled(handled: Mapping[str, Any]) -> dict[TokenKind, Handled]:
    return {
        TokenKind(kind): Handled(
            token=row["token"],
            generation=row["generation"],
            build_id=BuildId.parse(row["buildId"]) if row.get("buildId") else None,
        )
        for kind, row in handled.items()
    }


def _recall_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
