"""The log path: a process writes, its lines end up in the journal; against a plain readline loop.

The producer is ``cat`` of a prepared file. Both ways run it as a subprocess, hide the secrets,
number the lines and write the same events to a file on disk; afterwards each file is read back, its
lines are counted and the SHA-256 of their messages is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import orjson

from configbuild.events import OBJECT, rfc3339
from configbuild.journal import JournalWriter
from configbuild.model import BuildId, Step, Stream
from configbuild.process import Command, Launcher
from configbuild.redaction import MASK, Redactor
from configbuild.steplog import StepLog
from configbuild.tuning import tune
from tests.bench.meters import loop_delays, p99
from tests.bench.report import (
    Figure,
    memory_mib,
    print_figures,
    print_table,
    reset_highest_memory,
)

LINE_BYTES = 80
SECRETS = (b"hunter2-hunter2-hunter2", b"ghp_0123456789abcdefghijABCDEFGHIJ", b"correct horse")
SECRET_EVERY = 50  # lines; each secret in its turn

TARGET_LINES = (300_000, 400_000)  # a second: without secrets, and with three to hide
# The event loop while the output floods, to the same loop when it is idle; between any two ways it
# is for so long, since what the machine does else changes by the second.
LATE_RATIO = 2.0
IDLE_S = 1.0

# The allocator keeps a few blocks more or less; one byte kept of each of the lines would show.
FLAT_MIB = 4.0


class Written(Protocol):
    """What a producer writes, and what has to be in the journal afterwards."""

    @property
    def argv(self) -> tuple[str, ...]:
        """Give the producer's command."""

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Give what is to be hidden."""

    def check(self, journal: Path) -> None:
        """See that the journal holds what was written, whole and in order."""


@dataclass(frozen=True)
class OneLine:
    """What the producer writes: one line, of so many bytes, that ends with the output."""

    size: int
    secrets: tuple[bytes, ...] = SECRETS

    @property
    def argv(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", f"head -c {self.size} /dev/zero | tr '\\0' x")

    def check(self, journal: Path) -> None:
        """See that the pieces of the line are there, and make it."""
        found, length, continued, count = hashlib.sha256(), 0, True, 0
        with journal.open("rb") as lines:
            for count, line in enumerate(lines, 1):
                event = orjson.loads(line)
                assert event["id"] == count
                assert continued, "the line went on after its end"
                continued = event.get("continued", False)
                piece = event["message"].encode()
                length += len(piece)
                found.update(piece)
        expected = hashlib.sha256()
        for begin in range(0, self.size, LINE_BYTES * 10_000):
            expected.update(b"x" * min(LINE_BYTES * 10_000, self.size - begin))
        assert (length, continued) == (self.size, False), f"{length} bytes in {count} pieces"
        assert found.digest() == expected.digest(), "another line than was written"


@dataclass(frozen=True)
class Output:
    """What the producer writes: a file, given ``repeats`` times."""

    file: Path
    lines: int
    repeats: int
    secrets: tuple[bytes, ...]

    @property
    def argv(self) -> tuple[str, ...]:
        return ("/bin/cat", *[str(self.file)] * self.repeats)

    def check(self, journal: Path) -> None:
        """See that the journal holds every line once, in order and redacted."""
        expected, found, count = hashlib.sha256(), hashlib.sha256(), 0
        for _ in range(self.repeats):
            for block in self._blocks():
                redacted = block
                for secret in self.secrets:
                    redacted = redacted.replace(secret, MASK)
                expected.update(redacted)
        with journal.open("rb") as lines:
            for count, line in enumerate(lines, 1):
                event = orjson.loads(line)
                assert event["id"] == count
                found.update(event["message"].encode() + b"\n")
        assert count == self.lines * self.repeats, f"{count} lines"
        assert found.digest() == expected.digest(), "other messages than were written"

    def _blocks(self) -> Iterator[bytes]:
        with self.file.open("rb") as file:
            while block := file.read(LINE_BYTES * 10_000):
                yield block


def prepare(directory: Path, lines: int) -> Path:
    """Write a file of lines as pip writes them, some with a secret."""
    file = directory / "output"
    with file.open("wb") as out:
        for number in range(lines):
            secret = b""
            if number % SECRET_EVERY == 0:
                secret = SECRETS[number // SECRET_EVERY % len(SECRETS)]
            line = b"Downloading p_%07d-1.2-py3-none-any.whl %s " % (number, secret)
            out.write(line.ljust(LINE_BYTES - 1, b".") + b"\n")
    assert file.stat().st_size == lines * LINE_BYTES
    return file


# What is checked is every line, so none may be left out.
_NO_LIMIT = 2**62


async def journalled(output: Written, journal: Path) -> None:
    """Take the project's way."""
    writer = JournalWriter.create(journal, BuildId.new(), limit_bytes=_NO_LIMIT)
    with contextlib.closing(writer):
        log = StepLog(writer, step=Step.INSTALL_ENGINE, redactor=Redactor(output.secrets))
        command = Command(argv=output.argv, env={"PATH": os.defpath}, cwd=journal.parent)
        async with await Launcher.start() as launcher:
            ended = await launcher.run(command, log)
        assert ended.ok
        writer.sync()


async def readline(output: Output, journal: Path) -> None:
    """Take the way of the manuals: one await, one JSON object and one write a line."""
    build_id, secrets = BuildId.new(), [secret.decode() for secret in output.secrets]
    process = await asyncio.create_subprocess_exec(*output.argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    with journal.open("wb", buffering=0) as file:
        number = 0
        while line := await process.stdout.readline():
            number += 1
            message = line.decode(errors="backslashreplace").rstrip("\n")
            for secret in secrets:
                message = message.replace(secret, MASK.decode())
            now = datetime.now(UTC)
            event = {
                "object": OBJECT,
                "id": number,
                "build_id": build_id,
                "created": int(now.timestamp()),
                "time": rfc3339(now),
                "type": "build.log",
                "step": Step.INSTALL_ENGINE,
                "stream": Stream.STDOUT,
                "message": message,
            }
            file.write(json.dumps(event).encode() + b"\n")
    assert await process.wait() == 0


async def measure(
    directory: Path,
    *,
    lines: int,
    baseline_lines: int,
    rounds: int,
    memory_lines: int,
    line_bytes: int,
) -> list[Figure]:
    """Take each way in turn, then the project's with all the lines; returns what came of it."""
    file = prepare(directory, lines)
    small = prepare_part(file, baseline_lines)
    ways = {
        "readline loop, no secrets": (readline, Output(small, baseline_lines, 1, ())),
        "journal, no secrets": (journalled, Output(file, lines, 1, ())),
        "readline loop, 3 secrets": (readline, Output(small, baseline_lines, 1, SECRETS)),
        "journal, 3 secrets": (journalled, Output(file, lines, 1, SECRETS)),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    late: dict[str, list[float]] = {way: [] for way in ways}
    idle: list[float] = []
    for _ in range(rounds):
        for way, (take, output) in ways.items():
            async with loop_delays() as delays:
                await asyncio.sleep(IDLE_S)
            idle += delays
            async with loop_delays() as delays:
                begun = time.perf_counter()
                await take(output, directory / "journal")
                rates[way].append(output.lines / (time.perf_counter() - begun))
            late[way] += delays
            output.check(directory / "journal")
            (directory / "journal").unlink()
    print_table(
        f"{LINE_BYTES}-byte lines from cat to a journal on disk, median of {rounds}",
        ["way", "lines/s", "slowest", "loop late p99 ms", "x idle"],
        [
            (
                way,
                statistics.median(found),
                min(found),
                p99(late[way]),
                p99(late[way]) / p99(idle),
            )
            for way, found in rates.items()
        ],
    )
    repeats = max(1, memory_lines // lines)
    growth = await memory_growth(Output(file, lines, repeats, SECRETS), directory / "journal")
    (directory / "journal").unlink()
    line_growth = await memory_growth(OneLine(line_bytes), directory / "journal")
    plain, secret = TARGET_LINES
    return [
        _rate(rates, "no secrets", at_least=plain),
        _rate(rates, "3 secrets", at_least=secret),
        _lateness(late["journal, 3 secrets"], idle),
        Figure(
            what=f"memory over {repeats * lines:,} lines",
            unit="MiB",
            ours=growth,
            target=f"<= {FLAT_MIB:.0f} MiB more",
            met=growth <= FLAT_MIB,
        ),
        Figure(
            what=f"memory over a line of {line_bytes >> 20:,} MiB",
            unit="MiB",
            ours=line_growth,
            target=f"<= {FLAT_MIB:.0f} MiB more",
            met=line_growth <= FLAT_MIB,
        ),
    ]


def _rate(rates: Mapping[str, Sequence[float]], how: str, *, at_least: int) -> Figure:
    ours = rates[f"journal, {how}"]
    baseline = rates[f"readline loop, {how}"]
    median = statistics.median(ours)
    return Figure(
        what=f"output to journal, {how}",
        unit="lines/s",
        ours=median,
        baseline=statistics.median(baseline),
        ratio=statistics.median(a / b for a, b in zip(ours, baseline, strict=True)),
        target=f">= {at_least:,} lines/s",
        met=median >= at_least,
    )


def _lateness(flooded: Sequence[float], idle: Sequence[float]) -> Figure:
    ratio = p99(flooded) / p99(idle)
    return Figure(
        what="event loop late meanwhile, p99, 3 secrets",
        unit="ms",
        ours=p99(flooded),
        baseline=p99(idle),
        ratio=ratio,
        target=f"ratio <= {LATE_RATIO:g}",
        met=ratio <= LATE_RATIO,
    )


def prepare_part(file: Path, lines: int) -> Path:
    part = file.with_name("part")
    with file.open("rb") as whole:
        part.write_bytes(whole.read(lines * LINE_BYTES))
    return part


async def memory_growth(output: Written, journal: Path) -> float:
    """Tell how far the peak rises above what is in use after the rounds before, in MiB."""
    reset_highest_memory()
    before = memory_mib()
    await journalled(output, journal)
    highest = memory_mib("VmHWM")
    output.check(journal)
    return highest - before


def run(
    *,
    lines: int = 1_000_000,
    baseline_lines: int = 100_000,
    rounds: int = 3,
    memory_lines: int = 10_000_000,
    line_bytes: int = 1 << 30,
) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    tune()  # as in the operator
    with tempfile.TemporaryDirectory(prefix="bench-log-path-") as name:
        return asyncio.run(
            measure(
                Path(name),
                lines=lines,
                baseline_lines=baseline_lines,
                rounds=rounds,
                memory_lines=memory_lines,
                line_bytes=line_bytes,
            )
        )


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="a round of the journal")
    parser.add_argument("--baseline-lines", type=int, default=100_000, help="a round of readline")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-lines", type=int, default=10_000_000)
    parser.add_argument("--line-bytes", type=int, default=1 << 30, help="of a line without end")
    print_figures(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
