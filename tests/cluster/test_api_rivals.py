"""Others write to the API server as well: what the operator says stays true for all that."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator, condition_of
from tests.cluster.trouble import SLOW, SOON_S, SPEC
from tests.packages import write_package
from tests.waits import Gate, process_ended


def test_three_rapid_edits_end_in_one_build_and_no_watcher_is_told_what_is_not_so(
    operator: Operator, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    for generation in range(1, 5):
        # The version tells in the status which generation an active build is of.
        write_package(
            operator.sources / f"engine-{generation}",
            "ade-engine",
            version=f"1.0.{generation}",
            while_building=gate.wait_code if generation in (2, 3) else "pass",
        )
    operator.apply("invoices", _of_generation(1))
    first = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    with _watching(operator, tmp_path / "seen.json") as seen:
        for generation in (2, 3, 4):
            operator.apply("invoices", _of_generation(generation))
        last = operator.wait_for("invoices", "Ready")
        version = last["metadata"]["resourceVersion"]
        wait_until(
            lambda: any(body["metadata"]["resourceVersion"] == version for body in seen()),
            what="the watcher has seen the end",
            timeout_s=SOON_S,
        )
    bodies = seen()
    assert last["metadata"]["generation"] == 4
    for body in bodies:
        _assert_true_to_its_generation(body)
    newest = last["status"]["active"]["buildId"]
    ends = {build_id: _ends(operator, build_id) for build_id in _builds_on_disk(operator)}
    assert ends.pop(first) == ends.pop(newest) == ["active"]
    assert all(end == ["canceled"] for end in ends.values())
    # None was begun twice for one edit, and none was told of that there was not.
    assert 1 <= len(ends) <= 2
    assert {body["status"]["build"]["id"] for body in bodies} <= {first, newest, *ends}


def test_object_made_anew_during_a_build_takes_nothing_from_the_one_before(
    operator: Operator, gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    builder = gate.wait_until_reached()
    old = operator.wait_for("invoices", "Reconciling")
    operator.cluster.kubectl("delete", "cb/invoices", "-n", operator.namespace)
    operator.apply("invoices", SLOW)
    assert process_ended(builder)
    # A second one comes to the gate: the running build was not taken for the new object's.
    gate.wait_until_reached()
    gate.open_for_good()
    new = operator.wait_for("invoices", "Ready")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    status = new["status"]
    assert status["active"]["buildId"] == status["build"]["id"] != old["status"]["build"]["id"]
    assert status["build"]["trigger"] == "Initial"
    assert "history" not in status
    # Of the old build nothing is left, neither its journal nor its venv.
    assert _builds_on_disk(operator) == {status["build"]["id"]}
    assert _venvs(operator) == {status["build"]["id"]}


def test_terminal_status_lands_though_another_client_writes_without_pause(
    operator: Operator, gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    mark = operator.cluster.audit.mark()
    with _annotating(operator, "invoices") as count:
        gate.open_for_good()
        status = operator.wait_for("invoices", "Ready", timeout_s=SOON_S)["status"]
        assert count() > 0
    assert status["build"]["status"] == "active"
    assert {step["status"] for step in status["steps"]} <= {"succeeded", "skipped"}
    assert _builds_on_disk(operator) == {status["build"]["id"]}
    # Without conflicts this would show nothing.
    answers = [
        entry.code
        for entry in operator.cluster.audit.entries(user=operator.user, since=mark)
        if entry.resource == "configbuilds/status"
    ]
    assert 409 in answers


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(
            {"phase": "Failed", "active": None, "conditions": None, "build": None}, id="fails"
        ),
        pytest.param({"active": {"venvPath": "/etc"}, "observedGeneration": 0}, id="elsewhere"),
        pytest.param(None, id="nothing"),
    ],
)
def test_status_that_somebody_else_edits_is_put_right_and_nothing_is_built(
    operator: Operator, lie: Mapping[str, Any] | None
) -> None:
    operator.apply("invoices", SPEC)
    truth = operator.wait_at_rest("invoices")["status"]
    _edit_status(operator, "invoices", lie)
    _wait_for_status(operator, "invoices", truth)
    assert _builds_on_disk(operator) == {truth["build"]["id"]}


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"active": {"venvPath": "/etc"}}, id="elsewhere"),
        pytest.param({"active": None, "phase": "Failed"}, id="no active build"),
    ],
)
def test_status_that_is_edited_while_no_operator_runs_is_put_right_from_the_disk(
    operator: Operator, lie: Mapping[str, Any]
) -> None:
    operator.apply("invoices", SPEC)
    truth = operator.wait_at_rest("invoices")["status"]
    operator.stop()
    _edit_status(operator, "invoices", lie)
    operator.start()
    wait_until(
        lambda: operator.get("invoices")["status"].get("active") == truth["active"],
        what="the active build is the one on disk",
        timeout_s=8,
    )
    assert _builds_on_disk(operator) == {truth["build"]["id"]}


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("configbuilds", id="object first"),
        # The namespace controller deletes kinds in no order.
        pytest.param(
            "rolebindings",
            id="rights first",
        ),
    ],
)
def test_deleted_namespace_ends_its_build_and_takes_all_of_it_along(
    operator: Operator, daemon_gate: Gate, first: str
) -> None:
    operator.apply("invoices", SLOW)
    daemon = daemon_gate.wait_until_reached()
    operator.cluster.kubectl("delete", first, "--all", "-n", operator.namespace)
    operator.cluster.kubectl("delete", "namespace", operator.namespace, "--wait=false")
    wait_until(
        lambda: not (operator.venvs / "invoices").exists() and not _builds_on_disk(operator),
        what="venv and journal are removed",
        timeout_s=SOON_S / 2,
    )
    assert process_ended(daemon)


def _of_generation(generation: int) -> dict[str, object]:
    return {**SPEC, "engine": {"path": f"engine-{generation}"}}


def _assert_true_to_its_generation(body: Mapping[str, Any]) -> None:
    generation, status = body["metadata"]["generation"], body["status"]
    assert status["observedGeneration"] <= generation
    ready = condition_of(body, "Ready")
    assert ready["observedGeneration"] <= generation
    if ready["status"] == "True":
        assert status["active"]["engine"] == f"ade-engine 1.0.{ready['observedGeneration']}"
        assert status["active"]["fingerprint"] == status["fingerprint"]["value"]
    # None of these specs fails, so there is always a build to be made, or none needed.
    assert condition_of(body, "Stalled") == {}


@contextmanager
def _watching(operator: Operator, record: Path) -> Iterator[Any]:
    """Record what `kubectl get -w` shows; gives a function that reads it so far."""
    kubectl, kubeconfig = operator.cluster.assets.kubectl, operator.cluster.kubeconfig
    argv = [str(kubectl), f"--kubeconfig={kubeconfig}", "get", "cb", "-w", "-o", "json"]

    def seen() -> list[dict[str, Any]]:
        text, found, decoder = record.read_text(), [], json.JSONDecoder()
        while text := text.lstrip():
            try:
                body, end = decoder.raw_decode(text)
            except json.JSONDecodeError:  # kubectl is writing it right now
                break
            found.append(body)
            text = text[end:]
        return found

    with record.open("wb") as output:
        watcher = subprocess.Popen([*argv, "-n", operator.namespace], stdout=output)
    try:
        wait_until(seen, what="the watcher sees the object", timeout_s=SOON_S)
        yield seen
    finally:
        watcher.kill()
        watcher.wait()


@contextmanager
def _annotating(operator: Operator, name: str) -> Iterator[Any]:
    """Write annotations as fast as the API server takes them; gives a function that counts."""
    over, written = threading.Event(), 0
    path = f"/apis/ade.dev/v1alpha1/namespaces/{operator.namespace}/configbuilds/{name}"

    def write() -> None:
        nonlocal written
        with _admin(operator.cluster) as client:
            while not over.is_set():
                body = {"metadata": {"annotations": {"somebody.example/count": str(written)}}}
                headers = {"Content-Type": "application/merge-patch+json"}
                client.patch(path, content=json.dumps(body), headers=headers).raise_for_status()
                written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: written
    finally:
        over.set()
        thread.join()


def _admin(cluster: Cluster) -> httpx.Client:
    """Make a client that is faster than kubectl, which takes a tenth of a second to start."""
    user = json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]
    pair = cluster.directory / "admin-pair.pem"
    pair.write_bytes(
        b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    )
    tls = ssl.create_default_context(cafile=cluster.ca)
    tls.load_cert_chain(pair)
    return httpx.Client(base_url=cluster.url, verify=tls)


def _edit_status(operator: Operator, name: str, patch: Mapping[str, Any] | None) -> None:
    operator.cluster.kubectl(
        *("patch", f"cb/{name}", "-n", operator.namespace, "--subresource=status"),
        *("--type=merge", "-p", json.dumps({"status": patch})),
    )


def _wait_for_status(operator: Operator, name: str, truth: Mapping[str, Any]) -> None:
    def stands() -> bool:
        return _without_times(operator.get(name)["status"]) == _without_times(truth)

    wait_until(stands, what="the status is as it was", timeout_s=SOON_S)


def _without_times(status: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out since when conditions hold: of one that was taken away nobody knows it any more."""
    rows = [
        {key: value for key, value in row.items() if key != "lastTransitionTime"}
        for row in status.get("conditions", [])
    ]
    return {**status, "conditions": rows}


def _builds_on_disk(operator: Operator) -> set[str]:
    return {f"build_{path.stem.upper()}" for path in operator.logs.glob("*.ndjson")}


def _venvs(operator: Operator) -> set[str]:
    return {f"build_{path.name.upper()}" for path in (operator.venvs / "invoices").iterdir()}


def _ends(operator: Operator, build_id: str) -> list[str]:
    events = operator.journal(build_id)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    return [event["status"] for event in events if event["type"] == "build.completed"]
