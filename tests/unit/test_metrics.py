"""What is counted, and that labels stay few; the alerts and the board speak of what is counted."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from configbuild.builds.attempt import Attempt
from configbuild.builds.records import BuildRecord, StepProgress
from configbuild.builds.runner import Load
from configbuild.layout import Layout
from configbuild.metrics import OTHER, REASONS, Metrics, bytes_on_disk
from configbuild.metrics.words import SandboxState, resource_of
from configbuild.model import BuildStatus, Step, StepStatus
from tests.promtool import promtool
from tests.unit.examples import NOW, record

SPEC = Path(__file__).parents[2] / "docs" / "spec" / "configbuild.md"
ENDED_BADLY = ("**Of a build that failed**", "**Of a build that was canceled:**")


def after(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


def attempt(ended: BuildRecord, *, events: int = 0, size: int = 0) -> Attempt:
    """As much of an attempt as is counted; a real one would be a build."""
    found = SimpleNamespace(record=ended, journal=SimpleNamespace(last_id=events, size=size))
    return cast("Attempt", found)


def step(name: Step, seconds: float, status: StepStatus = StepStatus.SUCCEEDED) -> StepProgress:
    return StepProgress(
        name=name, status=status, message="m", started_at=NOW, finished_at=after(seconds)
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_build_is_counted_with_result_reason_trigger_times_and_lines(
    registry: CollectorRegistry,
) -> None:
    metrics = Metrics(registry)
    steps = (
        step(Step.CREATE_VENV, 2),
        step(Step.UPGRADE_PIP, 0, StepStatus.SKIPPED),
        step(Step.INSTALL_ENGINE, 3, StepStatus.FAILED),
    )
    failed = record(
        status=BuildStatus.FAILED,
        reason="InstallEngineFailed",
        steps=steps,
        queued_at=NOW,
        started_at=after(4),
        finished_at=after(9),
    )
    # build.created, two begins and ends, one that was skipped, build.completed: 7 of 27 events.
    metrics.ended(attempt(failed, events=27, size=4096))
    get = registry.get_sample_value
    told = {"result": "failed", "reason": "InstallEngineFailed"}
    assert get("configbuild_builds_total", told) == 1
    assert get("configbuild_builds_triggered_total", {"trigger": "Initial"}) == 1
    assert get("configbuild_build_duration_seconds_sum", {"result": "failed"}) == 5
    assert get("configbuild_queue_wait_seconds_sum") == 4
    for name, result, seconds in (
        ("create_venv", "succeeded", 2),
        ("install_engine", "failed", 3),
        ("upgrade_pip", "skipped", None),
    ):
        labels = {"step": name, "result": result}
        assert get("configbuild_step_duration_seconds_sum", labels) == seconds
    assert get("configbuild_log_lines_total") == 20
    assert get("configbuild_log_bytes_total") == 4096


def test_build_that_never_began_has_no_times_and_no_lines(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    ended = record(status=BuildStatus.CANCELED, reason="Superseded", started_at=None, steps=())
    metrics.ended(attempt(ended, events=2))
    get = registry.get_sample_value
    assert get("configbuild_builds_total", {"result": "canceled", "reason": "Superseded"}) == 1
    assert get("configbuild_queue_wait_seconds_count") == 0
    assert get("configbuild_log_lines_total") == 0


def test_reason_that_nobody_knows_is_other(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    for number in range(100):
        ended = record(status=BuildStatus.FAILED, reason=f"Reason{number}")
        metrics.ended(attempt(ended))
    told = {"result": "failed", "reason": OTHER}
    assert registry.get_sample_value("configbuild_builds_total", told) == 100
    assert b"Reason7" not in generate_latest(registry)


def test_known_reasons_are_those_that_the_specification_explains() -> None:
    text = SPEC.read_text()
    explained = set()
    for heading in ENDED_BADLY:
        table = text.split(heading)[1].split("\n**")[0]
        explained |= set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert explained == REASONS, "put new reasons of builds into configbuild/metrics/words.py"


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/apis/ade.dev/v1alpha1/configbuilds", "configbuilds"),
        ("/apis/ade.dev/v1alpha1/namespaces/{namespace}/configbuilds/{name}", "configbuilds"),
        (
            "/apis/ade.dev/v1alpha1/namespaces/{namespace}/configbuilds/{name}/status",
            "configbuilds/status",
        ),
        ("/api/v1/namespaces/{namespace}/events", "events"),
        ("/apis/authentication.k8s.io/v1/tokenreviews", "tokenreviews"),
        ("/api/v1", OTHER),
    ],
)
def test_requests_are_counted_by_resource_and_not_by_name(path: str, resource: str) -> None:
    assert resource_of(path) == resource


def test_request_without_an_answer_is_an_error(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    for code in (200, 409, None, 0):
        metrics.asked("PATCH", "/api/v1/namespaces/{namespace}/events", code)

    def count(code: str) -> float | None:
        labels = {"method": "PATCH", "resource": "events", "code": code}
        return registry.get_sample_value("configbuild_api_requests_total", labels)

    assert [count(code) for code in ("200", "409", "error")] == [1, 1, 2]


def test_gauges_tell_what_is_so_when_they_are_read(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    metrics = Metrics(registry)
    load = Load(running=2, waiting=3, waiting_since=NOW)
    phases = ["Active", "Failed", "Active", ""]
    layout = Layout(venvs=tmp_path, logs=tmp_path, cache=tmp_path / "none", sources=tmp_path)
    metrics.look_at(lambda: load, layout=layout, phases=lambda: phases)
    metrics.describe(version="1", safe_mode=True, limits={"running": 2, "waiting": 1000})
    metrics.guarded_by(SandboxState.OFF)
    metrics.cache_takes(7)
    metrics.clock_is_ahead(-31.5)
    metrics.crd_is_outdated(True)
    get = registry.get_sample_value
    assert get("configbuild_builds_running") == 2
    assert get("configbuild_builds_waiting") == 3
    assert (get("configbuild_queue_oldest_seconds") or 0) > 0
    assert get("configbuild_configs", {"phase": "Active"}) == 2
    assert get("configbuild_configs", {"phase": "Queued"}) == 0
    assert get("configbuild_configs", {"phase": OTHER}) == 1
    assert get("configbuild_builds_limit", {"state": "waiting"}) == 1000
    assert get("configbuild_safe_mode") == 1
    assert get("configbuild_sandbox_state", {"state": "off"}) == 1
    assert get("configbuild_sandbox_state", {"state": "enforced"}) == 0
    assert get("configbuild_cache_bytes") == 7
    assert get("configbuild_clock_skew_seconds") == -31.5
    assert get("configbuild_crd_outdated") == 1
    free = get("configbuild_volume_free_bytes", {"directory": "venvs"})
    assert 0 < (free or 0) <= (get("configbuild_volume_size_bytes", {"directory": "venvs"}) or 0)
    assert get("configbuild_volume_free_bytes", {"directory": "cache"}) is None
    inodes = os.statvfs(tmp_path).f_files or None
    assert get("configbuild_volume_inodes", {"directory": "venvs"}) == inodes
    assert get("configbuild_volume_writable", {"directory": "venvs"}) == 1
    assert get("configbuild_volume_writable", {"directory": "cache"}) == 0
    load, phases[:] = replace(load, waiting=0, waiting_since=None), []
    assert get("configbuild_queue_oldest_seconds") == 0


def test_files_are_measured_once_each_and_what_is_gone_is_left_out(tmp_path: Path) -> None:
    assert bytes_on_disk(tmp_path / "none") == 0
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    one = bytes_on_disk(tmp_path)
    assert one >= 100_000
    os.link(tmp_path / "deep" / "file", tmp_path / "again")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    assert bytes_on_disk(tmp_path) - one < 100_000


def test_names_units_and_help_are_as_prometheus_wants_them(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    metrics = Metrics(registry)
    metrics.ended(attempt(record(status=BuildStatus.FAILED, reason="Timeout")))
    metrics.asked("GET", "/api/v1/namespaces/{namespace}/pods", 200)
    metrics.describe(version="1", safe_mode=False, limits={"running": 1})
    layout = Layout(venvs=tmp_path, logs=tmp_path, cache=tmp_path, sources=tmp_path)
    load = Load(running=0, waiting=0, waiting_since=None)
    metrics.look_at(lambda: load, layout=layout, phases=list)
    text = generate_latest(registry).decode()
    assert promtool("check", "metrics", content=text) == ""
