"""An API server that refuses or does not know: what the operator waits for, and what ends it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.controlplane import Cluster, ControlPlane, wait_until
from tests.cluster.controlplane.kubeconfig import token_user, write_kubeconfig
from tests.cluster.operation import CRD, SERVICE_ACCOUNT, Operator
from tests.cluster.trouble import SLOW, SOON_S, SPEC, Prepare, crash, serve_crd, slow_config
from tests.waits import process_ended


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
    crash(plane)
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
        serve_crd(plane)
        starting.result()
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")


def test_operator_whose_watch_has_died_ends_with_an_error_rather_than_living_on(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = slow_config(operator, tmp_path, daemon=True)
    operator.apply("invoices", SLOW)
    daemon = gate.wait_until_reached()
    plane.kubectl("delete", "-f", str(CRD))
    assert operator.process is not None
    assert operator.process.wait(timeout=15) == 1
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
