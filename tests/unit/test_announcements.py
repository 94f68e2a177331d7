"""Kubernetes Events: each change of a status is told once, and nothing at rest."""

from __future__ import annotations

from typing import Any

import pytest

from configbuild.kube.announcements import announcements

BODY = {
    "apiVersion": "ade.dev/v1alpha1",
    "kind": "ConfigBuild",
    "metadata": {
        "namespace": "team-a",
        "name": "invoices",
        "uid": "uid-1",
        "resourceVersion": "42",
        "labels": {"argocd.argoproj.io/instance": "x"},
        "annotations": {"a": "b"},
    },
}
Status = dict[str, Any]
NEVER_SEEN: Status = {"observedGeneration": -1}


def build(status: str, number: int = 1, **fields: Any) -> Status:
    phase = status.capitalize()
    return {
        "phase": phase,
        "build": {"id": f"b{number}", "status": status, "trigger": "Initial", **fields},
    }


def failed(reason: str, message: str, number: int = 1) -> Status:
    told = build("failed", number, failure={"reason": reason, "message": message})
    return {**told, **ready(reason, message)}


def ready(reason: str, message: str) -> Status:
    row = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return {"conditions": [{"type": "Available", "status": "True"}, row]}


def problem(reason: str, message: str, **fields: Any) -> Status:
    return {**fields, "phase": "Failed", **ready(reason, message)}


def told(old: Status, new: Status) -> list[tuple[str, str, str]]:
    return [
        (event["type"], event["reason"], event["message"])
        for event in announcements(BODY, old, new)
    ]


FAILED = failed("InstallEngineFailed", "no such package")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            NEVER_SEEN, build("queued"), [("Normal", "BuildQueued", "b1 (Initial)")], id="queued"
        ),
        pytest.param(
            build("queued"),
            build("building"),
            [("Normal", "BuildStarted", "b1 (Initial)")],
            id="started",
        ),
        pytest.param(
            build("building"),
            build("active"),
            [("Normal", "BuildSucceeded", "b1 (Initial)")],
            id="succeeded",
        ),
        pytest.param(
            build("building"),
            FAILED,
            [
                (
                    "Warning",
                    "BuildFailed",
                    "b1 (Initial): InstallEngineFailed: no such package",
                )
            ],
            id="failed, told once",
        ),
        pytest.param(
            build("building"),
            build("canceled", failure={"reason": "Canceled", "message": "by hand"}),
            [("Normal", "BuildCanceled", "b1 (Initial): Canceled: by hand")],
            id="canceled",
        ),
        pytest.param(
            build("active"),
            build("queued", 2, trigger="SpecChanged", changed=["config", "python"]),
            [("Normal", "BuildQueued", "b2 (SpecChanged), changed: config, python")],
            id="rebuild says what changed",
        ),
        pytest.param(
            {**build("active", 2), "active": {"buildId": "b2"}},
            {**build("active", 2), "active": {"buildId": "b1"}},
            [
                (
                    "Normal",
                    "BuildReactivated",
                    "b1 is the active build again: it is what is declared again",
                )
            ],
            id="back to a kept build",
        ),
        pytest.param(
            {**build("active", 2), "active": {"buildId": "b2"}},
            {**build("active", 2), "active": {"buildId": "b1", "pinned": True}},
            [
                (
                    "Normal",
                    "BuildReactivated",
                    "b1 is the active build again: chosen by ade.dev/activate",
                )
            ],
            id="a chosen build",
        ),
        pytest.param(
            {**build("building", 2), "active": {"buildId": "b1"}},
            {**build("active", 2), "active": {"buildId": "b2"}},
            [("Normal", "BuildSucceeded", "b2 (Initial)")],
            id="a new build is told once",
        ),
        pytest.param(
            NEVER_SEEN,
            problem("InvalidSpec", "spec.ttl: no"),
            [("Warning", "InvalidSpec", "spec.ttl: no")],
            id="invalid",
        ),
        pytest.param(
            problem("SourceUnavailable", "a"),
            problem("InvalidSpec", "b"),
            [("Warning", "InvalidSpec", "b")],
            id="another problem",
        ),
        pytest.param(
            problem("InvalidSpec", "a"),
            problem("InvalidSpec", "b"),
            [("Warning", "InvalidSpec", "b")],
            id="another message",
        ),
        pytest.param(
            build("active"),
            problem("SourceUnavailable", "a", **build("active")),
            [("Warning", "SourceUnavailable", "a")],
            id="problem beside an active build",
        ),
        pytest.param(
            FAILED,
            problem("InvalidSpec", "a", build=FAILED["build"]),
            [("Warning", "InvalidSpec", "a")],
            id="problem after a failure",
        ),
    ],
)
def test_change_is_told(old: Status, new: Status, expected: list[tuple[str, str, str]]) -> None:
    assert told(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(NEVER_SEEN, NEVER_SEEN, id="nothing known"),
        pytest.param(build("queued"), {**build("queued"), "log": {"lines": 1}}, id="more lines"),
        pytest.param(
            build("building"), {**build("building"), "step": "install_engine"}, id="another step"
        ),
        pytest.param(build("active"), {**build("active"), "history": []}, id="history trimmed"),
        pytest.param(FAILED, {**FAILED, "observedGeneration": 4}, id="still failed"),
        pytest.param(problem("InvalidSpec", "a"), problem("InvalidSpec", "a"), id="still invalid"),
        pytest.param(problem("InvalidSpec", "a"), {"phase": "Queued"}, id="mended"),
    ],
)
def test_what_did_not_change_is_not_told(old: Status, new: Status) -> None:
    assert told(old, new) == []


def test_event_belongs_to_its_object_and_takes_over_no_labels() -> None:
    (event,) = announcements(BODY, NEVER_SEEN, build("queued"))

    assert event["involvedObject"] == {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "namespace": "team-a",
        "name": "invoices",
        "uid": "uid-1",
        "resourceVersion": "42",
    }
    assert event["metadata"].keys() == {"name", "namespace"}
    assert event["metadata"]["namespace"] == "team-a"
    assert event["source"] == {"component": "configbuild-operator"}
    assert event["firstTimestamp"] == event["lastTimestamp"]
    assert event["firstTimestamp"].endswith("Z")
    assert len(event["firstTimestamp"]) == len("2026-03-01T12:30:45Z")


def test_two_events_have_two_names() -> None:
    names = {
        event["metadata"]["name"]
        for _ in range(2)
        for event in announcements(BODY, NEVER_SEEN, build("queued"))
    }

    assert len(names) == 2
    assert all(name.startswith("invoices.") and name == name.lower() for name in names)


def test_long_message_is_cut() -> None:
    (event,) = announcements(BODY, NEVER_SEEN, failed("InstallEngineFailed", "x" * 5000))

    assert len(event["message"]) == 1024
    assert event["message"].endswith("x …")
