"""An API server that is down or stalled: builds go on, and nothing is lost or left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cluster.controlplane import ControlPlane, wait_until
from tests.cluster.operation import Operator
from tests.cluster.trouble import SLOW, SOON_S, SPEC, Prepare, crash, slow_config


@pytest.mark.parametrize("outage", ["crash", "stall"])
def test_build_goes_on_without_the_api_server_and_the_status_follows(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path, outage: str
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = slow_config(operator, tmp_path)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]

    if outage == "crash":
        crash(plane)
    else:
        plane.pause_apiserver()
    gate.open_for_good()
    _wait_until_completed(operator, build_id)
    assert not plane.ready()
    with operator.client() as client:
        assert client.get(f"/api/v1/builds/{build_id}").json()["status"] == "active"
    if outage == "crash":
        plane.restart_apiserver()
    else:
        plane.resume_apiserver()

    status = operator.wait_for("invoices", "Ready", timeout_s=SOON_S)["status"]
    assert status["active"]["buildId"] == build_id
    assert "history" not in status
    _assert_whole(operator, build_id)
    # The watch is back as well, and the build is the only one.
    operator.apply("orders", SPEC)
    operator.wait_for("orders", "Ready")
    assert len(list(operator.logs.iterdir())) == 2


def test_api_server_that_dies_with_a_status_write_in_hand_ends_nothing(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = slow_config(operator, tmp_path)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    # The API server takes the write and waits for its database: the answer is a closed connection.
    os.kill(plane.pids["etcd"], signal.SIGSTOP)
    gate.open_for_good()
    _wait_until_completed(operator, build_id)
    crash(plane)
    os.kill(plane.pids["etcd"], signal.SIGCONT)
    plane.restart_apiserver()
    status = operator.wait_for("invoices", "Ready", timeout_s=15)["status"]
    assert status["active"]["buildId"] == build_id
    assert operator.process is not None
    assert operator.process.poll() is None


def test_delete_that_no_watch_told_is_noticed_by_the_write_of_a_status(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = slow_config(operator, tmp_path)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    crash(plane)
    gate.open_for_good()
    _wait_until_completed(operator, build_id)
    # Until nothing is left to be done but to write the status.
    told = operator.log.count("trying again")
    wait_until(
        lambda: operator.log.count("trying again") >= told + 3,
        what="the status cannot be written",
        timeout_s=SOON_S,
    )
    _delete_unseen(plane, operator, "invoices")
    _wait_until_nothing_is_left(operator, "invoices")


def test_delete_that_no_watch_told_is_noticed_by_the_complete_list(
    plane: ControlPlane, prepare: Prepare
) -> None:
    operator = prepare(plane, ADE_RELIST_SECONDS="2")
    operator.start()
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    _delete_unseen(plane, operator, "invoices")
    _wait_until_nothing_is_left(operator, "invoices")


def _delete_unseen(plane: ControlPlane, operator: Operator, name: str) -> None:
    """Delete an object so that the watch never tells.

    The operator stands still while the API server, started anew, forgets what was deleted.
    """
    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)
    if plane.ready():
        crash(plane)
    plane.restart_apiserver()
    plane.kubectl("delete", f"cb/{name}", "-n", operator.namespace)
    operator.process.send_signal(signal.SIGCONT)


def _wait_until_nothing_is_left(operator: Operator, name: str) -> None:
    wait_until(
        lambda: not (operator.venvs / name).exists() and not list(operator.logs.iterdir()),
        what="venv and journal are removed",
        timeout_s=20,
    )


def _wait_until_completed(operator: Operator, build_id: str) -> None:
    wait_until(
        lambda: operator.journal(build_id)[-1]["type"] == "build.completed",
        what="the build ends",
        timeout_s=SOON_S,
    )


def _assert_whole(operator: Operator, build_id: str) -> None:
    events = operator.journal(build_id)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("build.completed") == 1
