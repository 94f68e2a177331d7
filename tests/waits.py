"""Hold a build where a test wants it, and see processes end; without sleeping to wait."""

from __future__ import annotations

import os
import select
from pathlib import Path

# For what takes milliseconds, on a machine that is busy with something else.
PATIENCE_S = 60.0


class Gate:
    """Two FIFOs between a test and code that runs inside a build.

    The code says that it is there, with a process id, and waits until the gate is opened.
    """

    def __init__(self, path: Path) -> None:
        self._reached = path.with_name(path.name + ".reached")
        self._opened = path.with_name(path.name + ".opened")
        os.mkfifo(self._reached)
        # Held open for reading and writing, so that neither side waits for the other to open it.
        self._reading = os.open(self._reached, os.O_RDWR | os.O_NONBLOCK)
        self.is_open = False

    @property
    def wait_code(self) -> str:
        """Python that announces itself and waits at the gate."""
        return f"""\
import os, time
reached = os.open({str(self._reached)!r}, os.O_WRONLY)
os.write(reached, b"%d\\n" % os.getpid())
while not os.path.exists({str(self._opened)!r}):
    time.sleep(0.02)
"""

    @property
    def daemon_and_wait_code(self) -> str:
        """Python that leaves a daemon (own session, parent gone), announces it, and waits."""
        return f"""\
import os, signal, time
reached = os.open({str(self._reached)!r}, os.O_WRONLY)
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(reached, b"%d\\n" % os.getpid())
    while True:
        signal.pause()
while not os.path.exists({str(self._opened)!r}):
    time.sleep(0.02)
"""

    def wait_until_reached(self) -> int:
        """Wait for the code to be there; returns a pidfd of the process that it announced."""
        ready, _, _ = select.select([self._reading], [], [], PATIENCE_S)
        assert ready, "the build did not come to the gate"
        return os.pidfd_open(int(os.read(self._reading, 64).split()[0]))

    def open_for_good(self) -> None:
        """Let whoever waits go on, and whoever comes later pass."""
        self._opened.touch()
        self.is_open = True


def process_ended(pidfd: int) -> bool:
    """Wait for a process to end; whether it did in good time."""
    ready, _, _ = select.select([pidfd], [], [], PATIENCE_S)
    os.close(pidfd)
    return bool(ready)
