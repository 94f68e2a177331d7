"""What is counted as it happens, and what is said once."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from configbuild.builds.attempt import Attempt
from configbuild.builds.records import BuildRecord
from configbuild.builds.runner import Load
from configbuild.layout import Layout
from configbuild.metrics.standing import Standing
from configbuild.metrics.words import (
    OTHER,
    RESULTS,
    SUCCEEDED,
    SandboxState,
    reason_of,
    resource_of,
)
from configbuild.model import BuildStatus, Step, StepStatus, Trigger

# A small build with uv takes a second, one with pip and pandas a minute, and ten are the default
# timeout.
_BUILD_BUCKETS_S = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_STEP_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_WAIT_BUCKETS_S = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


class Metrics:
    """All metrics of one operator; its methods are what happens, to be called in the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._builds = Counter(
            "configbuild_builds",
            "Builds that ended, by result and reason.",
            ["result", "reason"],
            registry=registry,
        )
        self._triggers = Counter(
            "configbuild_builds_triggered",
            "Builds that ended, by what they were started for.",
            ["trigger"],
            registry=registry,
        )
        self._build_s = Histogram(
            "configbuild_build_duration_seconds",
            "Time of a build from its first step to its end.",
            ["result"],
            buckets=_BUILD_BUCKETS_S,
            registry=registry,
        )
        self._step_s = Histogram(
            "configbuild_step_duration_seconds",
            "Time of a step that was not skipped.",
            ["step", "result"],
            buckets=_STEP_BUCKETS_S,
            registry=registry,
        )
        self._wait_s = Histogram(
            "configbuild_queue_wait_seconds",
            "Time that a build waited for its turn.",
            buckets=_WAIT_BUCKETS_S,
            registry=registry,
        )
        self._log_lines = Counter(
            "configbuild_log_lines",
            "Lines that builds wrote, counted at their end.",
            registry=registry,
        )
        self._log_bytes = Counter(
            "configbuild_log_bytes",
            "Bytes of journals, as kept at the end of their builds.",
            registry=registry,
        )
        self._streams = Gauge(
            "configbuild_stream_clients",
            "Clients that a stream of events is sent to now.",
            registry=registry,
        )
        self._requests = Counter(
            "configbuild_api_requests",
            "Requests to the API server, by method, resource and code; error: no answer.",
            ["method", "resource", "code"],
            registry=registry,
        )
        self._cache_bytes = Gauge(
            "configbuild_cache_bytes",
            "Bytes on disk of the installers' caches, looked at now and then.",
            registry=registry,
        )
        self._sandbox = Gauge(
            "configbuild_sandbox_state",
            "What guards the operator against the code of builds: 1 for the state that is.",
            ["state"],
            registry=registry,
        )
        self._clock_skew = Gauge(
            "configbuild_clock_skew_seconds",
            "By how much the local clock is ahead of the API server's (negative: behind).",
            registry=registry,
        )
        self._crd_outdated = Gauge(
            "configbuild_crd_outdated",
            "1 while the CRD that is served lacks fields of this operator's.",
            registry=registry,
        )
        for result in RESULTS.values():
            self._build_s.labels(result)
        self._builds.labels(RESULTS[BuildStatus.ACTIVE], SUCCEEDED)
        for trigger in Trigger:
            self._triggers.labels(trigger)
        for step in Step:
            self._step_s.labels(step, StepStatus.SUCCEEDED)

    def ended(self, attempt: Attempt) -> None:
        """Take note of a build that ended."""
        record = attempt.record
        result = RESULTS.get(record.status, OTHER)
        self._builds.labels(result, reason_of(record)).inc()
        self._triggers.labels(record.trigger).inc()
        for step in record.steps:
            if step.finished_at is not None and step.status is not StepStatus.SKIPPED:
                took = step.finished_at - step.started_at
                self._step_s.labels(step.name, step.status).observe(took.total_seconds())
        if record.started_at is not None:
            self._wait_s.observe((record.started_at - record.queued_at).total_seconds())
            if record.finished_at is not None:
                took = record.finished_at - record.started_at
                self._build_s.labels(result).observe(took.total_seconds())
        self._log_lines.inc(max(0, attempt.journal.last_id - _events_that_are_no_lines(record)))
        self._log_bytes.inc(attempt.journal.size)

    def asked(self, method: str, path: str, code: int | None) -> None:
        """Take note of a request to the API server, by the pattern of its path.

        ``code`` is that of the answer, ``None`` if there was none.
        """
        told = str(code) if code is not None and 100 <= code <= 599 else "error"
        self._requests.labels(method, resource_of(path), told).inc()

    def stream_began(self) -> None:
        """Take note of a client that a stream is sent to."""
        self._streams.inc()

    def stream_ended(self) -> None:
        """Take note that it is sent no more."""
        self._streams.dec()

    def guarded_by(self, state: SandboxState) -> None:
        """Take note of what guards the operator."""
        for each in SandboxState:
            self._sandbox.labels(each).set(each is state)

    def cache_takes(self, size_bytes: float) -> None:
        """Take note of what the caches take on disk."""
        self._cache_bytes.set(size_bytes)

    def clock_is_ahead(self, seconds: float) -> None:
        """Take note of how far the local clock is ahead of the API server's."""
        self._clock_skew.set(seconds)

    def crd_is_outdated(self, outdated: bool) -> None:  # noqa: FBT001 - its only argument
        """Take note of whether the CRD lacks fields."""
        self._crd_outdated.set(outdated)

    def describe(self, *, version: str, safe_mode: bool, limits: Mapping[str, int]) -> None:
        """Tell what does not change while a process lives.

        ``limits``: ``running`` and ``waiting``, how many builds there may be of each.
        """
        info = Gauge(
            "configbuild_operator_info",
            "The operator that runs; always 1.",
            ["version", "python"],
            registry=self._registry,
        )
        info.labels(version, platform.python_version()).set(1)
        Gauge(
            "configbuild_safe_mode",
            "1 while no build is started (ADE_SAFE_MODE).",
            registry=self._registry,
        ).set(safe_mode)
        limit = Gauge(
            "configbuild_builds_limit",
            "How many builds may run (ADE_MAX_CONCURRENCY) and wait (ADE_QUEUE_LIMIT).",
            ["state"],
            registry=self._registry,
        )
        for state, count in limits.items():
            limit.labels(state).set(count)

    def look_at(
        self,
        load: Callable[[], Load],
        *,
        layout: Layout,
        phases: Callable[[], Iterable[str]],
    ) -> None:
        """Have what is so at the moment of a scrape read from those who know it."""
        self._registry.register(Standing(load, layout, phases))


def _events_that_are_no_lines(record: BuildRecord) -> int:
    """Count build.created, build.completed, and each step's begin and end (one if skipped)."""
    return 2 + sum(1 if step.status is StepStatus.SKIPPED else 2 for step in record.steps)
