"""What an operator warns of while it runs: its clock against that of a real API server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from unittest import mock

import pytest
from prometheus_client.parser import text_string_to_metric_families

from configbuild.kube import client
from configbuild.kube.clock import ServerClock
from configbuild.kube.connection import load_connection
from configbuild.kube.rest import Heard
from configbuild.notices import Notices
from tests.cluster.controlplane import Cluster
from tests.cluster.operation import Operator
from tests.cluster.trouble import Prepare

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

    (warning,) = warnings_of(operator, "clock")
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
