"""Finds and kills what a launcher leaves behind if it is killed itself."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path

# The variable that marks the processes of one launcher: the one thing in a command's environment
# that its caller did not put there.
MARK = "CONFIGBUILD_LAUNCHER"

# How long the kernel may take to end killed processes before they are left to themselves.
KILL_S = 1.0


def kill_marked(mark: str) -> None:
    """Kill everything that carries a launcher's mark: what it leaves if it is killed itself.

    Not covered: who wiped its own environment, runs as another user or made itself undumpable.
    """
    variable = f"{MARK}={mark}".encode()
    killed: dict[int, int] = {}
    with contextlib.ExitStack() as pidfds:
        while new := [pid for pid in _pids() if pid not in killed and _has(pid, variable)]:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    killed[pid] = os.pidfd_open(pid)
                    pidfds.callback(os.close, killed[pid])
                    signal.pidfd_send_signal(killed[pid], signal.SIGKILL)
        deadline = time.monotonic() + KILL_S
        for pidfd in killed.values():
            poller = select.poll()
            poller.register(pidfd, select.POLLIN)
            poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
            # Orphans are ours to reap where the operator is the first process of its container.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _has(pid: int, variable: bytes) -> bool:
    try:
        return variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours to look at
        return False
