"""A finished log of a million lines over HTTP on loopback: how fast a late reader has it.

The journal is what the log path made of a producer's lines (``cat``); a server in a process of its
own (``one_build.py``) sends it. The client is a socket and a loop that receives into memory that is
there already, so that it costs as little as a client can; what it got is looked at afterwards: the
answer is the journal byte for byte (SHA-256), its ids are complete.

The baseline is ``sendfile`` of the same file to the same client, by a thread of the client: what
loopback can do.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from tests.bench.bench_log_path import prepare
from tests.bench.meters import processor_s
from tests.bench.one_build import OneBuild, one_build
from tests.bench.report import Figure, print_figures, print_table
from tests.bench.wire import LAST_CHUNK, Answer, dechunked, request

TARGET_LINES = 3_000_000  # a second

_ID = re.compile(rb'^\{"object":"ade.build.event","id":(\d+),', re.MULTILINE)

# Of the journal's size; chunk headers are a few bytes of each 64 KiB.
_FRAMING = 1.01


def journalled(server: OneBuild, directory: Path, lines: int) -> None:
    """Have a server's build write so many lines, through the whole log path."""
    server.do(f"run /bin/cat {shlex.quote(str(prepare(directory, lines)))}")


def replayed(server: OneBuild) -> tuple[float, float]:
    """Read the whole log; the seconds that took, and the server's processor time."""
    size = server.journal.stat().st_size
    answer = Answer(server.port, request(server.path(follow=False)), int(size * _FRAMING) + 4096)
    before, begun = processor_s(server.pid), time.perf_counter()
    got = answer.read(to=LAST_CHUNK)
    took, processor = time.perf_counter() - begun, processor_s(server.pid) - before
    _check(dechunked(got), server.journal)
    return took, processor


def sent_as_file(server: OneBuild) -> float:
    """Send the journal as a file to the same client; the seconds that took."""
    size = server.journal.stat().st_size
    with socket.create_server(("127.0.0.1", 0)) as listener, server.journal.open("rb") as file:

        def send() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendfile(file)

        sender = threading.Thread(target=send)
        sender.start()
        answer = Answer(listener.getsockname()[1], b"send\n", size + 1)
        begun = time.perf_counter()
        got = answer.read()
        took = time.perf_counter() - begun
        sender.join()
    _check(bytes(got), server.journal)
    return took


def _check(got: bytes, journal: Path) -> None:
    assert hashlib.sha256(got).digest() == hashlib.sha256(journal.read_bytes()).digest()
    numbers = [int(number) for number in _ID.findall(got)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == got.count(b"\n")


def measure(directory: Path, *, lines: int, rounds: int) -> list[Figure]:
    """Take both ways in turn; returns what came of it."""
    ours, processor, baseline = [], [], []
    with one_build(directory) as server:
        journalled(server, directory, lines)
        server.do("end")
        events = lines + 2  # with what begins and ends a build
        for _ in range(rounds):
            took, of_processor = replayed(server)
            ours.append(events / took)
            processor.append(of_processor)
            baseline.append(events / sent_as_file(server))
        megabytes = server.journal.stat().st_size / 1e6
    print_table(
        f"{lines:,} lines ({megabytes:.0f} MB) over loopback, lines/s, {rounds} rounds",
        ["way", "median", "slowest", "fastest"],
        [
            (way, statistics.median(rates), min(rates), max(rates))
            for way, rates in (("ours", ours), ("sendfile", baseline))
        ],
    )
    return [
        _figure("replay", ours, baseline),
        Figure(
            what="replay, by the server's processor time alone",
            unit="lines/s",
            ours=events / statistics.median(processor),
            target=f">= {TARGET_LINES:,} lines/s",
            met=events / statistics.median(processor) >= TARGET_LINES,
        ),
    ]


def _figure(what: str, ours: list[float], baseline: list[float]) -> Figure:
    median = statistics.median(ours)
    return Figure(
        what=what,
        unit="lines/s",
        ours=median,
        baseline=statistics.median(baseline),
        ratio=statistics.median(a / b for a, b in zip(ours, baseline, strict=True)),
        target=f">= {TARGET_LINES:,} lines/s",
        met=median >= TARGET_LINES,
    )


def run(*, lines: int = 1_000_000, rounds: int = 5) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as name:
        return measure(Path(name).resolve(), lines=lines, rounds=rounds)


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    print_figures(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
