"""One control plane for a whole pytest run, also when pytest-xdist spreads it over workers.

Whoever needs it first starts it; everybody else finds it by the record it leaves in the
run's base directory, under a file lock. It runs in a process of its own (`up`), so it
belongs to no worker: a worker that ends or crashes takes nothing away from the others.

It must end with the run, though, however that ends. So `up` gets a pidfd of the run's
*owner* as its standard input: the pytest process itself, or under xdist the controller,
which outlives its workers. The kernel makes a pidfd readable when that process is gone,
be it by exit, Ctrl-C, a crash or SIGKILL. `up` then kills its children; and should `up`
itself be killed, they die by their leash (`leash.py`). Nobody counts users, and there is
no cleaning up that could be left out.

A start that failed is recorded as well: the other workers fail at once with the same
message instead of trying one after the other.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .cluster import Cluster
from .errors import StartError
from .filelock import locked
from .logtail import tail

# The repository's root, from where `tests` can be imported.
ROOT = Path(__file__).parents[3]
MODULE = "tests.cluster.controlplane"


def shared_control_plane(base: Path, *, owner: int) -> Cluster:
    """Return the control plane of the run whose base directory is `base`; start the first.

    It ends when the process `owner` does. Building the programs, if they are missing,
    takes minutes: `make controlplane` does that beforehand and shows its progress.

    Raises:
        StartError: it could not be started, now or for somebody before, or it is gone.
    """
    directory, failure = base / "control-plane", base / "control-plane.failed"
    with locked(base / "control-plane.lock"):
        if failure.exists():
            raise StartError(failure.read_text())
        if not directory.exists():
            try:
                start_detached(directory, owner=owner, log=base / "control-plane.log")
            except StartError as error:
                failure.write_text(str(error))
                raise
    return Cluster.load(directory)


def start_detached(directory: Path, *, owner: int, log: Path) -> None:
    """Run `up` in a session of its own until `owner` ends; return when it is ready.

    Raises:
        StartError: it ended before; with the tail of its log.
    """
    ready, ready_writer = os.pipe()
    with os.fdopen(ready) as lines:
        try:
            _spawn_up(directory, owner=owner, output=ready_writer, log=log)
        finally:
            os.close(ready_writer)  # else the read below would never see the end
        if not lines.readline():
            raise StartError(f"no control plane: end of {log}:\n{tail(log)}")


def _spawn_up(directory: Path, *, owner: int, output: int, log: Path) -> None:
    """Start `up`. Not with `subprocess`, whose objects complain about a child left running."""
    argv = [sys.executable, "-m", MODULE, "up", f"--directory={directory}", "--with-stdin"]
    pidfd = os.pidfd_open(owner)
    try:
        os.posix_spawn(
            sys.executable,
            argv,
            {**os.environ, "PYTHONPATH": str(ROOT)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, pidfd, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            ],
            setsid=True,
        )
    finally:
        os.close(pidfd)
