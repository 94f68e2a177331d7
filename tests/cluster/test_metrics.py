"""What a real operator counts of real builds, and its log as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator
from tests.cluster.trouble import SLOW, SPEC, Prepare, slow_config
from tests.packages import write_package
from tests.promtool import promtool

pytestmark = pytest.mark.usefixtures("crd")


class Metrics:
    """What ``/metrics`` says at one moment."""

    def __init__(self, operator: Operator) -> None:
        with operator.client() as http:
            self.text = http.get("/metrics").text
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """Give a value; 0 of what was not counted yet."""
        return self._samples.get((f"configbuild_{name}", frozenset(labels.items())), 0.0)


def test_each_metric_moves_with_what_it_counts(
    control_plane: Cluster, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(control_plane, ADE_MAX_CONCURRENCY="1", ADE_LOG_FORMAT="json")
    gate = slow_config(operator, tmp_path)
    write_package(operator.sources / "broken", "ade-config", while_building="raise SystemExit(3)")
    operator.start()
    before = Metrics(operator)
    operator.apply("slow", SLOW)
    gate.wait_until_reached()
    operator.apply("waits", SPEC)
    operator.wait_for("waits", "Reconciling")
    wait_until(
        lambda: Metrics(operator)("configs", phase="Queued") == 1, what="it waits", timeout_s=60
    )
    build_id = operator.get("slow")["status"]["build"]["id"]
    with (
        operator.client() as http,
        http.stream("GET", f"/api/v1/builds/{build_id}/events?follow=true") as stream,
    ):
        blocks = stream.iter_raw()
        next(blocks)
        held = Metrics(operator)
        assert held("builds_running") == 1
        assert held("builds_waiting") == 1
        assert held("queue_oldest_seconds") > 0
        assert held("stream_clients") == 1
        assert held("configs", phase="Building") == 1
    gate.open_for_good()
    for name in ("slow", "waits"):
        operator.wait_for(name, "Ready")
    operator.apply("broken", {**SPEC, "config": {"path": "broken"}})
    operator.wait_for("broken", "Stalled")
    wait_until(
        lambda: Metrics(operator)("configs", phase="Failed") == 1, what="it failed", timeout_s=60
    )
    after = Metrics(operator)

    def moved(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    reason = operator.get("broken")["status"]["build"]["failure"]["reason"]
    assert moved("builds_total", result="succeeded", reason="BuildSucceeded") == 2
    assert moved("builds_total", result="failed", reason=reason) == 1
    assert moved("builds_triggered_total", trigger="Initial") == 3
    assert moved("build_duration_seconds_count", result="succeeded") == 2
    assert moved("queue_wait_seconds_count") == 3
    assert moved("step_duration_seconds_count", step="verify_imports", result="succeeded") == 2
    assert moved("step_duration_seconds_count", step="install_config", result="failed") == 1
    assert moved("log_lines_total") == sum(
        event["type"] == "build.log"
        for name in ("slow", "waits", "broken")
        for event in operator.journal(operator.get(name)["status"]["build"]["id"])
    )
    assert moved("log_bytes_total") > 0
    assert moved("configs", phase="Active") == 2
    assert after("stream_clients") == after("builds_running") == after("builds_waiting") == 0
    assert moved("api_requests_total", method="PATCH", resource="configbuilds/status", code="200")
    assert moved("api_requests_total", method="POST", resource="events", code="201") >= 3
    assert after("volume_free_bytes", directory="venvs") > 0
    assert promtool("check", "metrics", content=after.text) == ""
    _check_log(operator.log, build_id, operator.namespace)


def test_what_stays_the_same_for_a_process_is_told_from_its_start(
    control_plane: Cluster, prepare: Prepare
) -> None:
    operator = prepare(control_plane, ADE_SAFE_MODE="true")
    cached = operator.directory / "cache" / "team-a" / "uv" / "wheel"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x" * 100_000)
    operator.start()
    wait_until(
        lambda: Metrics(operator)("cache_bytes") >= 100_000, what="it is measured", timeout_s=60
    )
    told = Metrics(operator)
    assert told("safe_mode") == 1
    assert told("builds_limit", state="waiting") == 1000
    assert told("sandbox_state", state="enforced") == 1
    assert "configbuild_operator_info{" in told.text


def _check_log(log: str, build_id: str, namespace: str) -> None:
    """Every line is an object, and those that speak of the build have its id as a field."""
    lines: list[Mapping[str, str]] = [json.loads(line) for line in log.splitlines()]
    of_build = [line for line in lines if build_id in line["message"]]
    assert len(of_build) > 6
    assert {line.get("build_id") for line in of_build} == {build_id}
    (queued,) = [line for line in of_build if "queued" in line["message"]]
    assert (queued["workspace_id"], queued["config_id"]) == (namespace, "slow")
