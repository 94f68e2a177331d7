"""What a viewer costs that reads nothing more: memory of the server, and what waits in the kernel.

A build that runs has written far more than all buffers take. Clients begin to follow it, read the
head of the answer and then stop. The server (``one_build.py``) is given time until it does nothing
any more; what it then has more of resident memory, and what is in the send queues of its
connections (proc(5), net/tcp), is divided by the clients.

The baseline is as many clients that have read all there is and wait for more: what a connection
costs. They come first, and each round has a server of its own: the allocator keeps what was needed
once, and a second crowd would seem to cost nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bench_replay import journalled
from tests.bench.meters import processor_s, resident_mib
from tests.bench.one_build import OneBuild, one_build
from tests.bench.report import Figure, print_figures, print_table
from tests.bench.wire import PATIENCE_S, request

TARGET_MB = 0.5

# A client's own receive buffer: less than it would be, so that the server is stalled at once.
_RECEIVE_BUFFER_BYTES = 16 * 1024

_HEAD_BYTES = 1024

# The server does nothing any more if it takes no processor time for so long.
_QUIET_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the server holds for its clients, in MB (1,000,000 bytes)."""

    resident: float
    queued: float


def held(server: OneBuild, clients: int, *, path: str) -> Held:
    """Have so many clients read the head of an answer and stop; what each costs."""
    before = resident_mib(server.pid)
    with contextlib.ExitStack() as connected:
        for _ in range(clients):
            connected.enter_context(_begun(server.port, path))
        _wait_until_quiet(server.pid)
        grown = (resident_mib(server.pid) - before) * 1.048576
        queued = _send_queues(server.port) / 1e6
    _wait_until_quiet(server.pid)
    return Held(resident=grown / clients, queued=queued / clients)


@contextlib.contextmanager
def _begun(port: int, path: str) -> Iterator[None]:
    with socket.socket() as client:
        client.settimeout(PATIENCE_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        client.connect(("127.0.0.1", port))
        client.sendall(request(path))
        assert client.recv(_HEAD_BYTES).startswith(b"HTTP/1.1 200 ")
        yield


def _wait_until_quiet(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    taken = -1.0
    while (now := processor_s(pid)) != taken:
        assert time.monotonic() < deadline, "the server does not come to rest"
        taken = now
        time.sleep(_QUIET_S)


def _send_queues(port: int) -> int:
    """Tell how many bytes wait in the kernel on connections from a port."""
    waiting = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, _, queues, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            waiting += int(queues.partition(":")[0], 16)
    return waiting


def measure(directory: Path, *, lines: int, clients: int, rounds: int) -> list[Figure]:
    """Have both kinds of clients in turn; returns what came of it."""
    stalled, idle = [], []
    for number in range(rounds):
        with one_build(directory / str(number)) as server:
            journalled(server, directory, lines)
            whole = server.path(follow=True)
            idle.append(held(server, clients, path=f"{whole}&after_id={lines + 1}"))
            stalled.append(held(server, clients, path=whole))
            server.do("end")
    print_table(
        f"MB for each of {clients} clients, median of {rounds}",
        ["client", "resident memory", "in the kernel"],
        [
            (
                kind,
                statistics.median(one.resident for one in found),
                statistics.median(one.queued for one in found),
            )
            for kind, found in (("stalled", stalled), ("up to date", idle))
        ],
    )
    ours = statistics.median(one.resident + one.queued for one in stalled)
    return [
        Figure(
            what="a stalled viewer",
            unit="MB",
            ours=ours,
            baseline=statistics.median(one.resident + one.queued for one in idle),
            target=f"<= {TARGET_MB:g} MB",
            met=ours <= TARGET_MB,
        )
    ]


def run(*, lines: int = 100_000, clients: int = 50, rounds: int = 3) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-stalled-") as name:
        return measure(Path(name).resolve(), lines=lines, clients=clients, rounds=rounds)


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    print_figures(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
