"""What annotations, time and passing failures make of a config, in a real cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.controlplane import wait_until
from tests.cluster.operation import ROOT, Operator, condition_of
from tests.packages import write_package
from tests.waits import Gate

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}


def test_force_token_builds_anew_exactly_once(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    _annotate(operator, force="1")
    second = _status_when(operator, lambda s: s["active"]["buildId"] != first)
    assert second["build"]["trigger"] == "Forced"
    _status_when(operator, lambda s: s.get("handled", {}).get("force", {}).get("token") == "1")
    # The same token, seen again by another process: handled is handled.
    assert operator.stop() == 0
    operator.start()
    operator.apply("invoices", {**SPEC, "interval": "1h"})
    third = operator.wait_for("invoices", "Ready")["status"]
    assert third["active"]["buildId"] == second["active"]["buildId"]
    assert third["handled"]["force"]["buildId"] == second["active"]["buildId"]


def test_tokens_of_an_object_seen_for_the_first_time_are_taken_down_only(
    operator: Operator,
) -> None:
    operator.apply("invoices", SPEC, annotations={"ade.dev/force": "old", "ade.dev/cancel": "old"})
    status = operator.wait_for("invoices", "Ready")["status"]
    assert status["build"]["trigger"] == "Initial"
    assert status["handled"]["force"]["token"] == "old"
    assert "history" not in status


def test_cancel_token_ends_the_running_build_and_request_tries_again(
    operator: Operator, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    write_package(operator.sources / "config", "ade-config", while_building=gate.wait_code)
    operator.apply("invoices", SPEC)
    gate.wait_until_reached()
    operator.wait_for("invoices", "Reconciling")
    _annotate(operator, cancel="stop-it")
    canceled = operator.wait_for("invoices", "Stalled")["status"]
    assert (canceled["phase"], canceled["build"]["failure"]["reason"]) == ("Canceled", "Canceled")
    assert canceled["handled"]["cancel"]["buildId"] == canceled["build"]["id"]
    gate.open_for_good()
    _annotate(operator, request="again")
    status = operator.wait_for("invoices", "Ready", patient=True)["status"]
    assert status["build"]["trigger"] == "Requested"


def test_earlier_build_can_be_activated_and_the_declared_one_is_used_again_afterwards(
    operator: Operator,
) -> None:
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    write_package(operator.sources / "other", "ade-config", module_source="OTHER = 1\n")
    operator.apply("invoices", {**SPEC, "config": {"path": "other"}})
    second = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    _annotate(operator, activate=first)
    pinned = _status_when(operator, lambda s: s["active"]["buildId"] == first)
    assert pinned["active"]["pinned"] is True
    assert condition_of({"status": pinned}, "Ready")["reason"] == "Pinned"
    # A restart forgets nothing of it.
    assert operator.stop() == 0
    operator.start()
    assert operator.get("invoices")["status"]["active"]["buildId"] == first
    _annotate(operator, activate=None)
    back = _status_when(operator, lambda s: s["active"]["buildId"] != first)
    # What is declared is kept, so it is not built once more.
    assert back["active"]["buildId"] == second
    assert "pinned" not in back["active"]
    assert back["build"]["id"] == second


def test_spec_that_goes_back_has_its_earlier_build_used_again(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    write_package(operator.sources / "other", "ade-config", module_source="OTHER = 1\n")
    operator.apply("invoices", {**SPEC, "config": {"path": "other"}})
    second = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    assert second != first
    operator.apply("invoices", SPEC)
    body = operator.wait_for("invoices", "Ready")
    status = body["status"]
    assert (status["active"]["buildId"], status["build"]["id"]) == (first, second)
    assert first in condition_of(body, "Ready")["message"]
    # Another process finds the same, and a venv that is gone is none to go back to.
    assert operator.stop() == 0
    shutil.rmtree(operator.directory / "venvs" / operator.namespace / "invoices" / _ulid(second))
    operator.start()
    assert operator.get("invoices")["status"]["active"]["buildId"] == first
    operator.apply("invoices", {**SPEC, "config": {"path": "other"}})
    rebuilt = _status_when(operator, lambda s: s["active"]["buildId"] != first)
    assert rebuilt["active"]["buildId"] not in (first, second)
    assert rebuilt["build"]["trigger"] == "SpecChanged"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        pytest.param({"activate": "build_01JB2Z5V7T3QK8M4N6P9R00000"}, "is no build of", id="id"),
        pytest.param({"activate": "yesterday"}, "expected build_ and a ULID", id="no id"),
        pytest.param({"force": "x" * 64}, "expected 1 to 63 letters", id="too long"),
    ],
)
def test_annotation_that_cannot_be_followed_is_told_and_changes_nothing(
    operator: Operator, annotation: dict[str, str], said: str
) -> None:
    operator.apply("invoices", SPEC)
    before = operator.wait_for("invoices", "Ready")["status"]
    _annotate(operator, **annotation)
    body = operator.wait_for("invoices", "InvalidAnnotation")
    assert said in condition_of(body, "InvalidAnnotation")["message"]
    assert body["status"]["active"] == before["active"]
    assert condition_of(body, "Ready")["status"] == "True"

    def told() -> bool:
        return "InvalidToken" in operator.event_reasons()

    wait_until(told, what="the fault is announced", timeout_s=10)
    _annotate(operator, **dict.fromkeys(annotation))
    _status_when(operator, lambda s: not condition_of({"status": s}, "InvalidAnnotation"))


def test_expired_environment_is_built_anew_though_nothing_changed(
    operator: Operator,
) -> None:
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]
    assert "expiresAt" not in first
    assert operator.stop() == 0
    operator.configure(ADE_BUILD_TTL_DAYS="0.0001")
    operator.start()
    status = _status_when(operator, lambda s: s["build"]["trigger"] == "Expired")
    assert status["build"]["id"] != first["buildId"]


def test_index_that_does_not_answer_is_tried_again_by_itself(operator: Operator) -> None:
    assert operator.stop() == 0
    operator.configure(ADE_ALLOWED_HOSTS="127.0.0.1:9")
    operator.start()
    spec = {
        "engine": {"path": "engine"},
        "config": {"requirement": "ade-config"},
        "install": {"index": {"url": "https://127.0.0.1:9/simple"}},
    }
    operator.apply("invoices", spec)
    status = _status_when(operator, lambda s: "retryAt" in s.get("build", {}))
    assert status["build"]["failure"]["reason"] == "IndexUnreachable"
    assert condition_of({"status": status}, "Reconciling")["status"] == "True"
    assert not condition_of({"status": status}, "Stalled")


def test_safe_mode_starts_no_process_and_builds_once_it_is_off(operator: Operator) -> None:
    assert operator.stop() == 0
    operator.configure(ADE_SAFE_MODE="true")
    operator.start()
    operator.apply("invoices", SPEC)
    body = operator.wait_for("invoices", "Stalled")
    assert condition_of(body, "Ready")["reason"] == "SafeMode"
    assert "steps" not in body["status"]
    assert operator.stop() == 0
    operator.configure(ADE_SAFE_MODE="false")
    operator.start()
    status = operator.wait_for("invoices", "Ready", patient=True)["status"]
    assert status["build"]["trigger"] == "Retry"


def test_config_that_could_not_be_built_without_a_sandbox_is_built_where_there_is_one(
    operator: Operator, tmp_path: Path
) -> None:
    assert operator.stop() == 0
    code = "from tests.process.kernel import take_landlock_away; take_landlock_away()\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    operator.configure(PYTHONPATH=f"{tmp_path}:{ROOT}")
    operator.start()
    operator.apply("invoices", SPEC)
    body = operator.wait_for("invoices", "Stalled")
    assert condition_of(body, "Ready")["reason"] == "SandboxUnavailable"
    assert operator.stop() == 0
    operator.configure(PYTHONPATH="")
    operator.start()
    status = operator.wait_for("invoices", "Ready", patient=True)["status"]
    assert status["build"]["trigger"] == "Retry"


def test_replaced_environment_goes_unless_a_pod_wears_its_build_id(operator: Operator) -> None:
    assert operator.stop() == 0
    operator.configure(
        ADE_REPLACED_KEEP_SECONDS="0", ADE_BUILD_HISTORY_LIMIT="0", ADE_RELIST_SECONDS="1"
    )
    operator.start()
    builds = []
    for number in (1, 2, 3):
        write_package(
            operator.sources / f"v{number}", "ade-config", module_source=f"V = {number}\n"
        )
        operator.apply("invoices", {**SPEC, "config": {"path": f"v{number}"}})
        active = operator.wait_for("invoices", "Ready")["status"]["active"]
        builds.append(Path(active["venvPath"]))
        if number == 1:
            _run_pod(operator, label=active["buildId"])
    worn, unworn, active_venv = builds
    wait_until(lambda: not unworn.exists(), what="the venv that nobody uses goes", timeout_s=60)
    assert worn.exists()
    assert active_venv.exists()
    operator.cluster.kubectl(
        *("delete", "pod/job", "-n", operator.namespace, "--force", "--grace-period=0")
    )
    wait_until(lambda: not worn.exists(), what="the venv goes after its pod", timeout_s=60)
    assert active_venv.exists()


def test_object_deleted_while_the_operator_was_down_leaves_nothing(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    venv = Path(operator.wait_for("invoices", "Ready")["status"]["active"]["venvPath"])
    assert operator.stop() == 0
    operator.cluster.kubectl("delete", "cb/invoices", "-n", operator.namespace)
    operator.configure(ADE_ORPHAN_GRACE_SECONDS="0", ADE_RELIST_SECONDS="1")
    operator.start()
    wait_until(
        lambda: not venv.exists() and not list(operator.logs.iterdir()),
        what="venv and journal are swept away",
        timeout_s=60,
    )


def _run_pod(operator: Operator, *, label: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "job",
            "namespace": operator.namespace,
            "labels": {"ade.dev/build-id": label},
        },
        "spec": {"containers": [{"name": "job", "image": "job"}]},
    }
    operator.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))


def _annotate(operator: Operator, **tokens: str | None) -> None:
    wanted = [
        f"ade.dev/{kind}={token}" if token is not None else f"ade.dev/{kind}-"
        for kind, token in tokens.items()
    ]
    operator.cluster.kubectl(
        *("annotate", "--overwrite", "cb/invoices", "-n", operator.namespace, *wanted)
    )


def _status_when(operator: Operator, holds: Any) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = operator.get("invoices").get("status", {})
        return status if holds(status) else None

    try:
        return wait_until(look, what="the status says so", timeout_s=60)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {operator.get('invoices')['status']}") from None


def _ulid(build_id: str) -> str:
    return build_id.removeprefix("build_").lower()
