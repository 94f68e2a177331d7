"""Kubernetes Events, made from what a status write changed. Pure.

Since they come from written changes only, nothing is announced twice, not even by an operator that
was restarted, and nothing at rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from configbuild.events import rfc3339
from configbuild.failures import with_hint
from configbuild.resource import API_VERSION, KIND

_COMPONENT = "configbuild-operator"

# The API server's bound on an Event's message (core/v1 validation).
_MESSAGE = 1024

_REASONS = {
    "queued": ("Normal", "BuildQueued"),
    "building": ("Normal", "BuildStarted"),
    "active": ("Normal", "BuildSucceeded"),
    "failed": ("Warning", "BuildFailed"),
    "canceled": ("Normal", "BuildCanceled"),
}


def announcements(
    body: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Make the Events for the change of an object's status from ``old`` to ``new``."""
    events = []
    if told := _build_news(old.get("build") or {}, new.get("build") or {}):
        events.append(_event(body, *told))
    if told := _pointer_news(old, new):
        events.append(_event(body, *told))
    if told := _problem_news(old, new):
        events.append(_event(body, *told))
    if told := _fault_news(old, new):
        events.append(_event(body, *told))
    return events


def _build_news(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str, str] | None:
    if not new or (old.get("id"), old.get("status")) == (new["id"], new["status"]):
        return None
    kind, reason = _REASONS[new["status"]]
    message = f"{new['id']} ({new['trigger']})"
    if changed := new.get("changed"):
        message += f", changed: {', '.join(changed)}"
    if failure := new.get("failure"):
        told = with_hint(failure["message"], failure.get("hint"))
        message += f": {failure['reason']}: {told}"
    return kind, reason, message


def _pointer_news(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Tell of an earlier build that came to be the active one again, without a new build."""
    before, now = old.get("active") or {}, new.get("active") or {}
    newest = new.get("build") or {}
    if not before or not now or now["buildId"] in (before["buildId"], newest.get("id")):
        return None
    why = "chosen by ade.dev/activate" if now.get("pinned") else "it is what is declared again"
    return "Normal", "BuildReactivated", f"{now['buildId']} is the active build again: {why}"


def _problem_news(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str, str] | None:
    ready = _ready(new)
    build = new.get("build") or {}
    failure = build.get("failure") or {}
    told_by_build = ready.get("reason") == failure.get("reason")
    if new.get("phase") != "Failed" or told_by_build or ready.get("reason") == "BuildFailed":
        return None
    before = _ready(old)
    if (before.get("reason"), before.get("message")) == (ready["reason"], ready["message"]):
        return None
    return "Warning", ready["reason"], ready["message"]


def _fault_news(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str, str] | None:
    fault = _condition(new, "InvalidAnnotation")
    if not fault or fault["message"] == _condition(old, "InvalidAnnotation").get("message"):
        return None
    return "Warning", fault["reason"], fault["message"]


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return _condition(status, "Ready")


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    rows = status.get("conditions") or []
    return next((row for row in rows if row["type"] == kind), {})


def _event(body: Mapping[str, Any], kind: str, reason: str, message: str) -> dict[str, Any]:
    metadata = body["metadata"]
    now = rfc3339(datetime.now(UTC))
    seconds = now[:19] + "Z"
    return {
        "metadata": {
            "name": f"{metadata['name']}.{str(ULID()).lower()}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message if len(message) <= _MESSAGE else f"{message[: _MESSAGE - 2]} …",
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
    }
