"""Hold a build where a test wants it, and see processes end; without sleeping to wait."""

from __future__ import annotations

import os
import select
import socket
import struct
from pathlib import Path

# For what takes milliseconds, on a machine that is busy with something else.
PATIENCE_S = 60.0


class Gate:
    """A socket between a test and code that runs inside a build.

    The code connects, which says who it is, and waits until the gate is opened. A socket, and not a
    file: the sandbox of a build lets it open nothing that lies beside the test.
    """

    def __init__(self, path: Path) -> None:
        self._reached = path.with_name(path.name + ".reached")
        self._opened = path.with_name(path.name + ".opened")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._reached))
        self._listener.listen()
        self._listener.settimeout(PATIENCE_S)
        self.is_open = False

    def __del__(self) -> None:
        self._listener.close()

    @property
    def wait_code(self) -> str:
        """Python that announces itself and waits at the gate."""
        return f"""\
import os, socket, time
socket.socket(socket.AF_UNIX).connect({str(self._reached)!r})
while not os.path.exists({str(self._opened)!r}):
    time.sleep(0.02)
"""

    @property
    def daemon_and_wait_code(self) -> str:
        """Python that leaves a daemon (own session, parent gone), announces it, and waits."""
        return f"""\
import os, signal, socket, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    socket.socket(socket.AF_UNIX).connect({str(self._reached)!r})
    while True:
        signal.pause()
while not os.path.exists({str(self._opened)!r}):
    time.sleep(0.02)
"""

    def wait_until_reached(self) -> int:
        """Wait for the code to be there; returns a pidfd of the process that announced itself."""
        connection, _ = self._listener.accept()
        with connection:
            # struct ucred: pid, uid and gid, of the moment in which it connected.
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return os.pidfd_open(struct.unpack("iII", credentials)[0])

    def open_for_good(self) -> None:
        """Let whoever waits go on, and whoever comes later pass."""
        self._opened.touch()
        self.is_open = True


def process_ended(pidfd: int) -> bool:
    """Wait for a process to end; whether it did in good time."""
    ready, _, _ = select.select([pidfd], [], [], PATIENCE_S)
    os.close(pidfd)
    return bool(ready)
