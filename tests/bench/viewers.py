"""Many clients that follow one build at once: ``python -m tests.bench.viewers PORT PATH COUNT``.

A process of its own with plain sockets: it does next to nothing while lines come but to note what
came when. It says ``ready`` once each client has its first event, reads until the server has ended
every answer, and then prints what it found as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
import select
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.wire import LAST_CHUNK, PATIENCE_S, RECEIVE_BYTES, dechunked, request

_WRITTEN_AT = re.compile(rb'"message":"(\d{12,}) ')


class Viewer:
    """One client: what it received and when. Equal blocks of several are kept once."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.sendall(request(path))
        self.blocks: list[tuple[int, bytes]] = []
        self._tail = b""

    def receive(self, known: dict[bytes, bytes]) -> bool:
        """Take what is there; false at the end."""
        data = self.socket.recv(RECEIVE_BYTES)
        assert data, "the answer was cut"
        self.blocks.append((time.monotonic_ns(), known.setdefault(data, data)))
        self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
        return self._tail != LAST_CHUNK

    def body(self) -> bytes:
        """Give what the answer said, whole."""
        return dechunked(b"".join(data for _, data in self.blocks))

    def delays_ms(self) -> Iterator[float]:
        """Tell how long each line was on its way: from its write to the receipt of its end."""
        pending = b""
        for at, data in self.blocks:
            whole, newline, rest = (pending + data).rpartition(b"\n")
            pending = rest if newline else pending + data
            for written in _WRITTEN_AT.findall(whole):
                yield (at - int(written)) / 1e6


def watch(port: int, path: str, count: int) -> dict[str, Any]:
    """Follow with so many clients to the end."""
    known: dict[bytes, bytes] = {}
    viewers = [Viewer(port, path) for _ in range(count)]
    for viewer in viewers:
        while b"build.created" not in b"".join(data for _, data in viewer.blocks):
            viewer.receive(known)
    print("ready", flush=True)
    poller = select.epoll()
    by_fd = {viewer.socket.fileno(): viewer for viewer in viewers}
    for fd in by_fd:
        poller.register(fd, select.EPOLLIN)
    open_fds = set(by_fd)
    while open_fds:
        ready = poller.poll(PATIENCE_S)
        assert ready, f"nothing comes, and {len(open_fds)} answers have no end"
        for fd, _ in ready:
            if not by_fd[fd].receive(known):
                poller.unregister(fd)
                open_fds.discard(fd)
    return _summary(viewers)


def _summary(viewers: Sequence[Viewer]) -> dict[str, Any]:
    """Tell what all of them got, and how late."""
    digests = {hashlib.sha256(viewer.body()).hexdigest() for viewer in viewers}
    delays = sorted(delay for viewer in viewers for delay in viewer.delays_ms())
    return {
        "digests": sorted(digests),
        "lines": len(delays),
        "p50": statistics.median(delays),
        "p99": delays[len(delays) * 99 // 100],
        "slowest": delays[-1],
    }


if __name__ == "__main__":
    found = watch(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    print(json.dumps({**found, "processor_s": time.process_time()}))
