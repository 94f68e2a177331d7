"""What the sandbox costs: a whole warm build with uv in it, and the same with ``ADE_SANDBOX=off``.

The builds are those of ``bench_warm_build``: sample engine and config, one file system, warm caches
and wheels from a directory. Both ways are run in turns and are the same but for the cages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench.bench_warm_build import Built, prepare
from tests.bench.report import Figure, print_figures, print_table

# A person does not notice it beside the second that a build takes.
TARGET_MS = 150.0


async def measure(root: Path, *, rounds: int) -> list[Figure]:
    """Build in turns, and print what it took."""
    caged, _ = await prepare(root, index=False)
    free = replace(caged, workshop=replace(caged.workshop, sandbox=False))
    ways = {"sandbox on": caged, "sandbox off": free}
    environment = dict(os.environ)
    for ours in ways.values():
        shutil.rmtree((await ours.build(environment)).venv)
    found: dict[str, list[Built]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in [*ways][turn % 2 :] + [*ways][: turn % 2]:
            os.sync()
            built = await ways[way].build(environment)
            assert "Download" not in built.output, f"the cache is cold:\n{built.output}"
            shutil.rmtree(built.venv)
            found[way].append(built)
    return _report(found)


def _report(found: Mapping[str, Sequence[Built]]) -> list[Figure]:
    on, off = found.values()
    cpu_added_ms = [1000 * (a.cpu_s - b.cpu_s) for a, b in zip(on, off, strict=True)]
    added_ms = [1000 * (a.took_s - b.took_s) for a, b in zip(on, off, strict=True)]
    print_table(
        f"Warm build with uv, {len(on)} turns",
        ["way", "median", "fastest", "slowest"],
        [
            *((f"{way}, s", *_spread([b.took_s for b in built])) for way, built in found.items()),
            *(
                (f"{way}, processor time, s", *_spread([b.cpu_s for b in built]))
                for way, built in found.items()
            ),
            ("added in a turn, ms", *_spread(added_ms)),
            ("processor time added in a turn, ms", *_spread(cpu_added_ms)),
        ],
    )
    print_table(
        "Commands, medians in ms",
        ["command", *found],
        [
            (command.title, *(_median_ms(built, number) for built in found.values()))
            for number, command in enumerate(on[0].commands)
        ],
    )
    added = statistics.median(added_ms)
    medians = [1000 * statistics.median(b.took_s for b in built) for built in found.values()]
    return [
        Figure(
            what="added to a warm build by the sandbox",
            unit="ms",
            ours=medians[0],
            baseline=medians[1],
            ratio=medians[0] / medians[1],
            target=f"{added:.0f} <= {TARGET_MS:.0f} ms",
            met=added <= TARGET_MS,
        )
    ]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _median_ms(builds: Sequence[Built], number: int) -> float:
    return 1000 * statistics.median(built.commands[number].took_s for built in builds)


def run(*, rounds: int = 9) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as name:
        return asyncio.run(measure(Path(name).resolve(), rounds=rounds))


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="builds of each way, in turns")
    print_figures(run(rounds=parser.parse_args().rounds))


if __name__ == "__main__":
    main()
