"""What sandbox and launcher cost: a whole warm build with uv, beside the same without either.

The builds are those of ``bench_warm_build``: sample engine and config, one file system, warm caches
and wheels from a directory. Three ways take turns, and each goes first as often as the others:

- ``caged``: as it is, each command in a cage, below the launcher
- ``launched``: with ``ADE_SANDBOX=off``, so below the launcher and in no cage
- ``plain``: commands started by asyncio, with nothing that would end what they leave behind

What is added is the median of the differences within a turn, never the difference of two medians:
a machine that slows down for a minute then slows down both sides of each difference. On a machine
with other work even that is off by hundreds of milliseconds, for one of the two builds is hit
somewhere nearly always. So the figure is taken part by part (each command, and each time between
commands), and the medians are added up: a part is hit far less often than a build. How much a
median may itself be off is printed with it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self
from unittest import mock

from configbuild.output import CommandOutput, OutputSink
from configbuild.process import Command, CommandExit
from tests.bench.bench_warm_build import Built, Ours, prepare
from tests.bench.report import Figure, print_figures, print_table

# A person does not notice it beside the second that a build takes.
TARGET_MS = 150.0

CAGED, LAUNCHED, PLAIN = "caged", "launched", "plain"

# From the median of absolute deviations to a standard deviation, and from that of values to that of
# their median; both for a normal distribution.
_MAD_TO_DEVIATION, _MEAN_TO_MEDIAN = 1.4826, 1.2533


class Plain:
    """In the place of the launcher: each command is a child, and nothing more is seen to."""

    @classmethod
    async def start(cls) -> Self:
        """There is nothing to start."""
        return cls()

    async def run(self, command: Command, sink: OutputSink, *, grace_s: float) -> CommandExit:
        """Run a command, and feed its output to the same reader as ever."""
        del grace_s
        assert command.cage is None
        begun = time.monotonic()
        with CommandOutput(sink) as output:
            stdout, stderr = output.write_ends
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
            output.hand_over()
            code = await process.wait()
            duration_s = time.monotonic() - begun
            output.command_ended()
            await output.done
        return CommandExit(
            exit_code=code,
            signal=None,
            duration_s=duration_s,
            descendants_killed=0,
            max_rss_kib=0,
            cpu_s=0.0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        return None


async def measure(root: Path, *, rounds: int) -> list[Figure]:
    """Build in turns, and print what it took."""
    caged, _ = await prepare(root, index=False)
    free = replace(caged, workshop=replace(caged.workshop, sandbox=False))
    ways = {CAGED: caged, LAUNCHED: free, PLAIN: free}
    for way, ours in ways.items():
        shutil.rmtree((await _build(way, ours)).venv)
    found: dict[str, list[Built]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in [*ways][turn % 3 :] + [*ways][: turn % 3]:
            os.sync()
            built = await _build(way, ways[way])
            assert "Download" not in built.output, f"the cache is cold:\n{built.output}"
            shutil.rmtree(built.venv)
            found[way].append(built)
    return _report(found)


async def _build(way: str, ours: Ours) -> Built:
    if way != PLAIN:
        return await ours.build(dict(os.environ))
    with mock.patch("configbuild.engine.Launcher", Plain):
        return await ours.build(dict(os.environ))


def _report(found: Mapping[str, Sequence[Built]]) -> list[Figure]:
    times = {way: [built.took_s for built in builds] for way, builds in found.items()}
    cpu_times = {way: [built.cpu_s for built in builds] for way, builds in found.items()}
    print_table(
        f"Warm build with uv, seconds, {len(times[CAGED])} turns",
        ["way", "median", "fastest", "slowest"],
        [
            *((way, *_spread(took)) for way, took in times.items()),
            *((f"{way}, processor time", *_spread(took)) for way, took in cpu_times.items()),
        ],
    )
    rows = {
        "sandbox and launcher": _added_ms(times[CAGED], times[PLAIN]),
        "sandbox alone": _added_ms(times[CAGED], times[LAUNCHED]),
        "launcher alone": _added_ms(times[LAUNCHED], times[PLAIN]),
        "sandbox and launcher, processor time": _added_ms(cpu_times[CAGED], cpu_times[PLAIN]),
        "sandbox alone, processor time": _added_ms(cpu_times[CAGED], cpu_times[LAUNCHED]),
    }
    whole = [(what, statistics.median(added), _doubt(added)) for what, added in rows.items()]
    by_part = {
        "sandbox and launcher, part by part": _by_part(found[CAGED], found[PLAIN]),
        "sandbox alone, part by part": _by_part(found[CAGED], found[LAUNCHED]),
    }
    print_table(
        "Added in a turn, ms",
        ["by", "median", "give or take"],
        [*whole, *((what, *added) for what, added in by_part.items())],
    )
    print_table(
        "Parts, medians in ms; more: the medians of what is added in a turn",
        ["part", *found, "more by the cage", "by both"],
        [
            (
                part,
                *(statistics.median(_part_ms(built, number)) for built in found.values()),
                *(
                    statistics.median(
                        _differences(_part_ms(found[CAGED], number), _part_ms(less, number))
                    )
                    for less in (found[LAUNCHED], found[PLAIN])
                ),
            )
            for number, part in enumerate(_parts(found[CAGED][0]))
        ],
    )
    added, _ = by_part["sandbox and launcher, part by part"]
    medians = [1000 * statistics.median(times[way]) for way in (CAGED, PLAIN)]
    return [
        Figure(
            what="added to a warm build by sandbox and launcher",
            unit="ms",
            ours=medians[0],
            baseline=medians[1],
            ratio=statistics.median(a / b for a, b in zip(times[CAGED], times[PLAIN], strict=True)),
            target=f"{added:.0f} <= {TARGET_MS:.0f} ms",
            met=added <= TARGET_MS,
        )
    ]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _added_ms(more_s: Sequence[float], less_s: Sequence[float]) -> list[float]:
    return [1000 * difference for difference in _differences(more_s, less_s)]


def _doubt(values: Sequence[float]) -> float:
    """How far the median of these values may be off: one standard error."""
    middle = statistics.median(values)
    deviation = _MAD_TO_DEVIATION * statistics.median(abs(value - middle) for value in values)
    return _MEAN_TO_MEDIAN * deviation / math.sqrt(len(values))


def _by_part(more: Sequence[Built], less: Sequence[Built]) -> tuple[float, float]:
    """Add up what each part takes more, in ms; and how far that may be off."""
    parts = [
        _differences(_part_ms(more, number), _part_ms(less, number))
        for number in range(len(_parts(more[0])))
    ]
    return sum(map(statistics.median, parts)), math.hypot(*map(_doubt, parts))


def _differences(more: Sequence[float], less: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(more, less, strict=True)]


def _parts(built: Built) -> list[str]:
    return [*(command.title for command in built.commands), *built.around_s]


def _part_ms(builds: Sequence[Built], number: int) -> list[float]:
    """What one part took in each build: its commands, then the times between them."""
    return [
        1000 * [*(command.took_s for command in built.commands), *built.around_s.values()][number]
        for built in builds
    ]


def run(*, rounds: int = 15) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as name:
        return asyncio.run(measure(Path(name).resolve(), rounds=rounds))


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="builds of each way, in turns")
    print_figures(run(rounds=parser.parse_args().rounds))


if __name__ == "__main__":
    main()
