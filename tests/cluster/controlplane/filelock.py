"""One lock between processes: flock(2), released by the kernel if its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .progress import Report, heartbeat


@contextmanager
def locked(path: Path, *, report: Report | None = None) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which is created and never removed.

    Waits for as long as another process holds it, saying so through `report`. Keep
    the file outside whatever the lock protects, so that removing one never removes
    the other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, report)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, report: Report | None) -> None:
    if report is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with heartbeat(f"waiting for another run, which holds {path}", report):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
