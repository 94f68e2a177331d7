"""Lines as they come, to many at once: how late each is, and what that takes.

A producer (``paced.pl``) writes a thousand lines a second, each with the moment at which it is
written. It is run as a command of a build, by the launcher; its lines go through redaction into the
journal on disk and over HTTP to a hundred clients that follow the build (``one_build.py``). They
are one process with plain sockets (``viewers.py``), and note when each line is there.

The baseline is what one would write at first (``fan_out.py``): one process that reads the same
producer and writes what it has read to each client at once, without a journal and with as good as
no HTTP.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.meters import processor_s
from tests.bench.one_build import one_build
from tests.bench.report import Figure, print_figures, print_table

PRODUCER = Path(__file__).with_name("paced.pl")
LINE_BYTES = 80

TARGET_P50_MS = 10.0
TARGET_P99_MS = 30.0
TARGET_PROCESSOR = 0.3  # of one core


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What came of one way: milliseconds from a line's write to its receipt, of all clients."""

    p50: float
    p99: float
    slowest: float
    processor: float
    """Of the server: seconds a second."""
    processor_of_clients: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is written and who watches."""

    lines: int
    per_second: int
    viewers: int

    @property
    def command(self) -> str:
        """Give the producer's command, for a shell."""
        perl = shutil.which("perl")
        if perl is None:
            raise LookupError("perl writes the lines, and is not there")
        numbers = (self.lines, self.per_second, LINE_BYTES)
        return shlex.join([perl, str(PRODUCER), *map(str, numbers)])

    @property
    def seconds(self) -> float:
        """Tell how long the producer takes."""
        return self.lines / self.per_second


def ours(load: Load, directory: Path) -> Watched:
    """Take the project's way."""
    with one_build(directory) as server:

        def produce() -> None:
            server.do(f"run {load.command}")
            server.do("end")

        found, processor = _watched(
            server.port, server.path(follow=True), load, server.pid, produce
        )
        journal = server.journal.read_bytes()
    assert found["digests"] == [hashlib.sha256(journal).hexdigest()], "not the journal's bytes"
    numbers = re.findall(rb'"message":"\d+ (\d+) ', journal)
    assert numbers == [b"%d" % number for number in range(1, load.lines + 1)]
    assert found["lines"] == load.lines * load.viewers
    return _result(found, processor, load)


def fan_out(load: Load, _: Path) -> Watched:
    """Take the way without a journal."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.fan_out", load.command, str(load.viewers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with server:
        assert server.stdin
        assert server.stdout
        begin = server.stdin
        port = int(server.stdout.readline())
        found, processor = _watched(port, "/", load, server.pid, lambda: begin.write("go\n"))
    assert server.returncode == 0
    assert len(found["digests"]) == 1
    assert found["lines"] == load.lines * load.viewers
    return _result(found, processor, load)


def _watched(
    port: int,
    path: str,
    load: Load,
    pid: int,
    produce: Callable[[], object],
) -> tuple[dict[str, Any], float]:
    """Have clients watch while lines are produced; what they tell, and the server's time."""
    viewers = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.viewers", str(port), path, str(load.viewers)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with viewers:
        assert viewers.stdout
        assert viewers.stdout.readline() == "ready\n"
        before = processor_s(pid)
        produce()
        found: dict[str, Any] = json.loads(viewers.stdout.readline())
        processor = processor_s(pid) - before  # also of a process that has ended, until its parent
        # has heard of it
    assert viewers.returncode == 0
    return found, processor


def _result(found: dict[str, Any], processor: float, load: Load) -> Watched:
    return Watched(
        p50=found["p50"],
        p99=found["p99"],
        slowest=found["slowest"],
        processor=processor / load.seconds,
        processor_of_clients=found["processor_s"] / load.seconds,
    )


def measure(load: Load, directory: Path, *, rounds: int) -> list[Figure]:
    """Take both ways in turn; returns what came of it."""
    ways = {"ours": ours, "fan_out.py": fan_out}
    found: dict[str, list[Watched]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, take in ways.items():
            found[way].append(take(load, directory / f"{way}-{number}"))
    print_table(
        f"{load.per_second:,} lines/s for {load.seconds:.0f} s to {load.viewers} clients, by round",
        ["way", "p50 ms", "p99 ms", "slowest ms", "server, cores", "clients, cores"],
        [
            (way, one.p50, one.p99, one.slowest, one.processor, one.processor_of_clients)
            for way, all_of_it in found.items()
            for one in all_of_it
        ],
    )
    return [
        _figure(found, "written to received, p50", "ms", lambda it: it.p50, TARGET_P50_MS),
        _figure(found, "written to received, p99", "ms", lambda it: it.p99, TARGET_P99_MS),
        _figure(found, "processor time", "cores", lambda it: it.processor, TARGET_PROCESSOR),
    ]


def _figure(
    found: Mapping[str, Sequence[Watched]],
    what: str,
    unit: str,
    value: Callable[[Watched], float],
    at_most: float,
) -> Figure:
    mine, baseline = (statistics.median(map(value, found[way])) for way in ("ours", "fan_out.py"))
    return Figure(
        what=f"live, {what}",
        unit=unit,
        ours=mine,
        baseline=baseline,
        ratio=mine / baseline,
        target=f"<= {at_most:g} {unit}",
        met=mine <= at_most,
    )


def run(
    *, seconds: int = 10, per_second: int = 1000, viewers: int = 100, rounds: int = 3
) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    load = Load(lines=seconds * per_second, per_second=per_second, viewers=viewers)
    with tempfile.TemporaryDirectory(prefix="bench-live-") as name:
        return measure(load, Path(name).resolve(), rounds=rounds)


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of each round")
    parser.add_argument("--per-second", type=int, default=1000, help="lines")
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    print_figures(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
