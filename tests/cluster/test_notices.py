"""What an operator warns of while it runs: its clock, and a CRD that is older than itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from configbuild.kube import client
from configbuild.kube.clock import ServerClock
from configbuild.kube.connection import load_connection
from configbuild.kube.rest import Heard
from configbuild.notices import Notices
from configbuild.resource.served import OPENAPI_PATH, served_schema
from tests.cluster.controlplane import Cluster, ControlPlane, wait_until
from tests.cluster.controlplane.errors import ApiError
from tests.cluster.operation import CRD, Operator
from tests.cluster.trouble import SOON_S, SPEC, Prepare, serve_crd

AHEAD_S = 1000.0

# Runs as the operator's `sitecustomize`, before anything of its own reads the time.
_CLOCK = f"""\
import time
true_time = time.time
time.time = lambda: true_time() + {AHEAD_S}
"""


def warnings_of(operator: Operator, word: str) -> list[str]:
    """What ``/readyz`` warns of now, as far as it has this word."""
    with operator.client() as http:
        texts: list[str] = http.get("/readyz").json()["warnings"]
    return [text for text in texts if word in text]


def told(operator: Operator, word: str) -> list[str]:
    """Wait until ``/readyz`` warns of something."""
    return wait_until(
        lambda: warnings_of(operator, word), what=f"{word} is warned of", timeout_s=SOON_S
    )


def metric(operator: Operator, name: str) -> float:
    """The value of a gauge without labels."""
    with operator.client() as http:
        text = http.get("/metrics").text
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == name]
    return family.samples[0].value


@pytest.mark.usefixtures("crd")
def test_clock_that_is_off_is_told_by_readyz_metric_and_log(
    control_plane: Cluster, prepare: Prepare, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    operator = prepare(control_plane)
    operator.start()
    assert warnings_of(operator, "clock") == []
    assert abs(metric(operator, "configbuild_clock_skew_seconds")) < AHEAD_S / 2
    operator.stop()

    site.mkdir()
    (site / "sitecustomize.py").write_text(_CLOCK)
    operator.configure(PYTHONPATH=str(site))
    operator.start()

    (warning,) = told(operator, "clock")
    assert "ahead of the API server's" in warning
    assert metric(operator, "configbuild_clock_skew_seconds") > AHEAD_S / 2
    assert operator.log.count("the clock of this node is") == 1


def test_clock_that_agrees_with_the_api_server_again_is_warned_of_no_more(
    control_plane: Cluster,
) -> None:
    notices, skews, minutes = Notices(), list[float](), [0.0]
    clock = ServerClock(notices, told=skews.append, monotonic=lambda: minutes[0] * 60)

    def behind(date: str, asked_at: float, took_s: float) -> None:
        clock.heard(date, asked_at - AHEAD_S, took_s)

    async def ask(heard: Heard) -> list[str]:
        with mock.patch.dict(os.environ, KUBECONFIG=str(control_plane.kubeconfig)):
            connection = await load_connection()
        async with client.Cluster(connection, heard=heard) as cluster:
            before = len(skews)
            # An answer that took long on a busy machine tells nothing.
            while len(skews) == before:
                await cluster.rest.get("/version", {})
        minutes[0] += 1
        return notices.texts()

    assert len(asyncio.run(ask(behind))) == 1
    assert asyncio.run(ask(clock.heard)) == []
    assert skews[0] < -AHEAD_S / 2 < skews[1] < AHEAD_S / 2


def serve_older_crd(cluster: Cluster) -> None:
    """Have a CRD served that lacks a field of spec and one of status."""
    definition = yaml.safe_load(CRD.read_text())
    (version,) = definition["spec"]["versions"]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    del parts["spec"]["properties"]["ttl"]
    del parts["status"]["properties"]["phase"]
    cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "-f", "-"),
        stdin=yaml.safe_dump(definition),
    )
    wait_until(lambda: _serves_older_crd(cluster), what="it is served", timeout_s=SOON_S)


def _serves_older_crd(cluster: Cluster) -> bool:
    try:
        schema = served_schema(cluster.get(OPENAPI_PATH))
    except ApiError:  # the first CRD has just been applied
        return False
    return schema is not None and "ttl" not in schema["properties"]["spec"]["properties"]


@contextmanager
def nobody_may_read_openapi(cluster: Cluster, user: str) -> Iterator[None]:
    """Take that away from the role in which every user has it, also this one."""
    role = yaml.safe_load(
        cluster.kubectl("get", "clusterrole", "system:discovery", "-o", "yaml").stdout
    )
    rules = role["rules"]

    def replace(rules: list[dict[str, Any]]) -> None:
        patch = yaml.safe_dump({"rules": rules})
        cluster.kubectl("patch", "clusterrole", "system:discovery", "--type=merge", "-p", patch)

    kept = [
        {**rule, "nonResourceURLs": [u for u in rule["nonResourceURLs"] if "openapi" not in u]}
        for rule in rules
    ]
    assert kept != rules
    assert _may_read_openapi(cluster, user)
    replace(kept)
    try:
        wait_until(
            lambda: not _may_read_openapi(cluster, user), what="it is forbidden", timeout_s=SOON_S
        )
        yield
    finally:
        replace(rules)


def _may_read_openapi(cluster: Cluster, user: str) -> bool:
    answer = cluster.kubectl("get", "--raw", OPENAPI_PATH, "--as", user, check=False)
    return answer.returncode == 0


def test_older_crd_is_told_until_the_newer_one_is_applied(
    plane: ControlPlane, prepare: Prepare
) -> None:
    serve_older_crd(plane)
    operator = prepare(plane, ADE_RELIST_SECONDS="1")

    operator.start()

    (warning,) = told(operator, "CRD")
    assert "it drops spec.ttl, status.phase; kubectl apply" in warning
    assert operator.log.count("is older than this operator") == 1
    assert metric(operator, "configbuild_crd_outdated") == 1
    serve_crd(plane)
    wait_until(
        lambda: warnings_of(operator, "CRD") == [], what="it is told no more", timeout_s=SOON_S
    )
    assert metric(operator, "configbuild_crd_outdated") == 0
    assert "has all fields now" in operator.log


def test_status_is_written_all_the_same_as_far_as_an_older_crd_has_it(
    plane: ControlPlane, prepare: Prepare
) -> None:
    serve_older_crd(plane)
    operator = prepare(plane)
    operator.start()

    operator.apply("invoices", SPEC)

    assert "phase" not in operator.wait_for("invoices", "Ready")["status"]


def test_operator_that_may_not_read_what_is_served_asks_once_and_works(
    plane: ControlPlane, prepare: Prepare
) -> None:
    serve_older_crd(plane)
    operator = prepare(plane, ADE_RELIST_SECONDS="1")
    with nobody_may_read_openapi(plane, operator.user):
        operator.start()
        wait_until(
            lambda: "whether the CRD is outdated cannot be told (403" in operator.log,
            what="it is told that nothing can be told",
            timeout_s=SOON_S,
        )
        assert warnings_of(operator, "CRD") == []
        serve_crd(plane)
        operator.apply("invoices", SPEC)
        operator.wait_for("invoices", "Ready")
        assert operator.log.count("whether the CRD is outdated cannot be told") == 1
