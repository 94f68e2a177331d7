"""What is so at the moment when somebody asks: read from those who know it, and kept nowhere."""

from __future__ import annotations

import os
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from configbuild.builds.runner import Load
from configbuild.layout import Layout
from configbuild.metrics.words import OTHER, PHASES
from configbuild.volume import is_writable


class Standing(Collector):
    """Gauges whose values others hold: they are read when somebody asks."""

    def __init__(
        self, load: Callable[[], Load], layout: Layout, phases: Callable[[], Iterable[str]]
    ) -> None:
        self._load = load
        self._layout = layout
        self._phases = phases

    def describe(self) -> Iterator[Metric]:
        """Name nothing beforehand: the registry need not ask for values to know names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Give the values of this moment."""
        yield from self._queue()
        yield from self._volume()
        family = GaugeMetricFamily(
            "configbuild_configs", "ConfigBuilds, by the phase of their status.", labels=["phase"]
        )
        tally = Tally(phase if phase in PHASES else OTHER for phase in self._phases())
        for phase in (*PHASES, *([OTHER] if tally[OTHER] else [])):
            family.add_metric([phase], tally[phase])
        yield family

    def _queue(self) -> Iterator[Metric]:
        load = self._load()
        yield GaugeMetricFamily(
            "configbuild_builds_running", "Builds that run.", value=load.running
        )
        yield GaugeMetricFamily(
            "configbuild_builds_waiting", "Builds that wait.", value=load.waiting
        )
        since = load.waiting_since
        yield GaugeMetricFamily(
            "configbuild_queue_oldest_seconds",
            "For how long the build has waited that waits longest; 0: none waits.",
            value=max(0.0, time.time() - since.timestamp()) if since else 0.0,
        )

    def _volume(self) -> Iterator[Metric]:
        size = GaugeMetricFamily(
            "configbuild_volume_size_bytes",
            "Size of the file system of a directory.",
            labels=["directory"],
        )
        free = GaugeMetricFamily(
            "configbuild_volume_free_bytes",
            "What is left of it for the operator.",
            labels=["directory"],
        )
        inodes = GaugeMetricFamily(
            "configbuild_volume_inodes",
            "How many files it can have; absent where it has no such limit.",
            labels=["directory"],
        )
        free_inodes = GaugeMetricFamily(
            "configbuild_volume_free_inodes",
            "How many more files it can have.",
            labels=["directory"],
        )
        writable = GaugeMetricFamily(
            "configbuild_volume_writable",
            "1 if the operator may write to a directory, 0 if it is read-only, another's or gone.",
            labels=["directory"],
        )
        for name in ("venvs", "logs", "cache"):
            directory = getattr(self._layout, name)
            writable.add_metric([name], is_writable(directory))
            try:
                found = os.statvfs(directory)
            except OSError:  # gone
                continue
            size.add_metric([name], found.f_blocks * found.f_frsize)
            free.add_metric([name], found.f_bavail * found.f_frsize)
            if found.f_files:
                inodes.add_metric([name], found.f_files)
                free_inodes.add_metric([name], found.f_favail)
        yield from (size, free, inodes, free_inodes, writable)
