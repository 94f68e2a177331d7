"""An API server that is down, stalled, refuses or does not know: builds go on, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.cluster.controlplane import Cluster, ControlPlane, find_or_build, wait_until
from tests.cluster.controlplane.kubeconfig import token_user, write_kubeconfig
from tests.cluster.operation import (
    CRD,
    SERVICE_ACCOUNT,
    Operator,
    condition_of,
    install_crd,
    install_rights,
)
from tests.packages import write_package
from tests.waits import Gate, process_ended

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}
SLOW = {**SPEC, "config": {"path": "slow"}}

# What an operator does by itself once the API server is back; kopf waits up to 21 s.
SOON_S = 30.0

Prepare: TypeAlias = Callable[..., Operator]


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Start a control plane that may be killed and paused, one for all tests of this file."""
    with ControlPlane.start(
        tmp_path_factory.mktemp("own") / "plane", assets=find_or_build()
    ) as own:
        yield own


@pytest.fixture
def plane(own_plane: ControlPlane) -> ControlPlane:
    """Have it running, with the CRD served, whatever the test before did."""
    os.kill(own_plane.pids["etcd"], signal.SIGCONT)
    own_plane.resume_apiserver()
    if not own_plane.ready():
        own_plane.restart_apiserver()
    install_crd(own_plane)
    return own_plane


@pytest.fixture
def prepare(tmp_path: Path) -> Iterator[Prepare]:
    """Give a function that makes an operator with rights and sources, not started."""
    with ExitStack() as ends:

        def make(cluster: Cluster, **settings: str) -> Operator:
            namespace = cluster.create_namespace("trouble")
            ends.callback(_delete_namespace, cluster, namespace)
            install_rights(cluster, namespace)
            if "OVERLAY" in os.environ:
                settings["PYTHONPATH"] = os.environ["OVERLAY"]
            operator = Operator(cluster, namespace, tmp_path, settings=settings)
            for name in ("engine", "config"):
                write_package(operator.sources / name, f"ade-{name}")
            ends.callback(_end, operator)
            return operator

        yield make


@pytest.mark.parametrize("outage", ["crash", "stall"])
def test_build_goes_on_without_the_api_server_and_the_status_follows(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path, outage: str
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = _slow_config(operator, tmp_path)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]

    if outage == "crash":
        _crash(plane)
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
    gate = _slow_config(operator, tmp_path)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    # The API server takes the write and waits for its database: the answer is a closed connection.
    os.kill(plane.pids["etcd"], signal.SIGSTOP)
    gate.open_for_good()
    _wait_until_completed(operator, build_id)
    _crash(plane)
    os.kill(plane.pids["etcd"], signal.SIGCONT)
    plane.restart_apiserver()
    status = operator.wait_for("invoices", "Ready", timeout_s=SOON_S)["status"]
    assert status["active"]["buildId"] == build_id
    assert operator.process is not None
    assert operator.process.poll() is None


@pytest.mark.xfail(
    strict=True, reason="the status writer drops what is gone and tells the reconciler nothing"
)
def test_delete_that_no_watch_told_is_noticed_by_the_write_of_a_status(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = _slow_config(operator, tmp_path)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    _crash(plane)
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


@pytest.mark.xfail(strict=True, reason="no setting ADE_RELIST_SECONDS yet; 300 s is a constant")
def test_delete_that_no_watch_told_is_noticed_by_the_complete_list(
    plane: ControlPlane, prepare: Prepare
) -> None:
    operator = prepare(plane, ADE_RELIST_SECONDS="2")
    operator.start()
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    _delete_unseen(plane, operator, "invoices")
    _wait_until_nothing_is_left(operator, "invoices")


def test_operator_goes_on_with_a_new_token_once_the_old_one_is_refused(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "rotated"
    operator = prepare(plane, KUBECONFIG=str(kubeconfig))
    _write_bound_token(operator, kubeconfig, secret="first")
    operator.start()
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    operator.cluster.kubectl("delete", "secret", "first", "-n", operator.namespace)
    mark = plane.audit.mark()
    # Forgets at once that the token was good, and ends the watch.
    _crash(plane)
    plane.restart_apiserver()
    wait_until(
        lambda: any(entry.code == 401 for entry in plane.audit.entries(since=mark)),
        what="the old token is refused",
        timeout_s=SOON_S,
    )
    operator.apply("orders", SPEC)
    _write_bound_token(operator, kubeconfig, secret="second")
    operator.wait_for("orders", "Ready", timeout_s=20)
    assert operator.process is not None
    assert operator.process.poll() is None


def test_operator_waits_for_a_crd_that_comes_late(plane: ControlPlane, prepare: Prepare) -> None:
    operator = prepare(plane)
    plane.kubectl("delete", "-f", str(CRD))
    with ThreadPoolExecutor(max_workers=1) as pool:
        starting = pool.submit(operator.start)
        wait_until(
            lambda: operator.log_file.exists() and "waiting for it" in operator.log,
            what="the operator says what it waits for",
            timeout_s=SOON_S,
        )
        assert "configbuilds.ade.dev" in operator.log
        install_crd(plane)
        starting.result()
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")


def test_operator_whose_watch_has_died_ends_with_an_error_rather_than_living_on(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = Gate(tmp_path / "gate")
    write_package(operator.sources / "slow", "ade-config", while_building=gate.daemon_and_wait_code)
    operator.apply("invoices", SLOW)
    daemon = gate.wait_until_reached()
    plane.kubectl("delete", "-f", str(CRD))
    assert operator.process is not None
    assert operator.process.wait(timeout=SOON_S) == 1
    assert "404" in operator.log
    assert process_ended(daemon)


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        pytest.param("list", "configbuilds", id="list"),
        *(
            pytest.param(
                verb,
                resource,
                id=f"{verb} {resource}",
                marks=pytest.mark.xfail(strict=True, reason="only list is tried at start"),
            )
            for verb, resource in [
                ("watch", "configbuilds"),
                ("get", "configbuilds"),
                ("patch", "configbuilds/status"),
            ]
        ),
    ],
)
def test_permission_that_is_missing_at_start_is_named_in_one_line(
    control_plane: Cluster, crd: None, prepare: Prepare, verb: str, resource: str
) -> None:
    operator = prepare(control_plane)
    _take_right(operator, verb, resource)
    with pytest.raises(AssertionError, match="the operator ended"):
        operator.start()
    assert operator.process is not None
    assert operator.process.returncode == 1
    wanted = f"may not {verb} {resource} in namespace {operator.namespace}"
    assert [line for line in operator.log.splitlines() if wanted in line]
    assert "Traceback" not in operator.log


def test_start_with_300_objects_writes_to_none_that_is_as_it_says(
    control_plane: Cluster, crd: None, prepare: Prepare
) -> None:
    operator = prepare(control_plane)
    operator.start()
    names = [f"config-{number:03}" for number in range(300)]
    suspended = {**SPEC, "suspend": True}
    _apply_all(operator, {name: {**suspended, "timeout": "9m"} for name in names})
    wait_until(
        lambda: all(condition_of(body, "Stalled") for body in _list(operator)),
        what="each has a status",
        timeout_s=60,
    )
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    assert operator.stop() == 0
    before = {body["metadata"]["name"]: body for body in _list(operator)}
    assert len(before) == 301
    # The last in the list, so the last that is looked at; its status tells that all others were.
    operator.apply("zuletzt", suspended)
    mark = control_plane.audit.mark()
    operator.start()
    operator.wait_for("zuletzt", "Stalled", timeout_s=SOON_S)
    assert operator.stop() == 0
    after = {body["metadata"]["name"]: body for body in _list(operator)}
    del after["zuletzt"]
    assert after == before
    writes = [
        (entry.verb, entry.resource, entry.name)
        for entry in control_plane.audit.entries(user=operator.user, since=mark)
        if entry.verb not in ("get", "list", "watch")
    ]
    assert [write for write in writes if write[1] == "configbuilds/status"] == [
        ("patch", "configbuilds/status", "zuletzt")
    ]
    assert len(writes) <= 2


def _delete_namespace(cluster: Cluster, namespace: str) -> None:
    if cluster.ready():
        cluster.delete_namespace(namespace)


def _end(operator: Operator) -> None:
    if operator.process is not None:
        operator.kill()
    print(operator.log)


def _slow_config(operator: Operator, tmp_path: Path) -> Gate:
    gate = Gate(tmp_path / "gate")
    write_package(operator.sources / "slow", "ade-config", while_building=gate.wait_code)
    return gate


def _crash(plane: ControlPlane) -> None:
    """Kill the API server, which stays down until `restart_apiserver`."""
    os.kill(plane.pids["kube-apiserver"], signal.SIGKILL)
    wait_until(lambda: not plane.ready(), what="the API server is down", timeout_s=SOON_S)


def _delete_unseen(plane: ControlPlane, operator: Operator, name: str) -> None:
    """Delete an object so that the watch never tells.

    The operator stands still while the API server, started anew, forgets what was deleted.
    """
    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)
    if plane.ready():
        _crash(plane)
    plane.restart_apiserver()
    plane.kubectl("delete", f"cb/{name}", "-n", operator.namespace)
    operator.process.send_signal(signal.SIGCONT)


def _wait_until_nothing_is_left(operator: Operator, name: str) -> None:
    wait_until(
        lambda: not (operator.venvs / name).exists() and not list(operator.logs.iterdir()),
        what="venv and journal are removed",
        timeout_s=15,
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


def _write_bound_token(operator: Operator, path: Path, *, secret: str) -> None:
    """Write a kubeconfig, by rename, with a token that is good as long as a Secret is there."""
    cluster, namespace = operator.cluster, f"-n={operator.namespace}"
    cluster.kubectl("create", "secret", "generic", secret, namespace)
    token = cluster.kubectl(
        *("create", "token", SERVICE_ACCOUNT, namespace),
        *("--bound-object-kind=Secret", f"--bound-object-name={secret}"),
    ).stdout.strip()
    write_kubeconfig(
        path,
        url=cluster.url,
        ca=cluster.ca,
        user=token_user(token),
        namespace=operator.namespace,
    )


def _take_right(operator: Operator, verb: str, resource: str) -> None:
    where = ("-n", operator.namespace)
    role = json.loads(
        operator.cluster.kubectl("get", "role", SERVICE_ACCOUNT, *where, "-o", "json").stdout
    )
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    operator.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(role))


def _apply_all(operator: Operator, specs: dict[str, dict[str, object]]) -> None:
    items = [
        {
            "apiVersion": "ade.dev/v1alpha1",
            "kind": "ConfigBuild",
            "metadata": {"name": name, "namespace": operator.namespace},
            "spec": spec,
        }
        for name, spec in specs.items()
    ]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    operator.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))


def _list(operator: Operator) -> list[dict[str, object]]:
    answer = operator.cluster.kubectl("get", "cb", "-n", operator.namespace, "-o", "json")
    items: list[dict[str, object]] = json.loads(answer.stdout)["items"]
    return items
