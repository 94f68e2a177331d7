"""One child process of the control plane: on a leash, logged, always reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from .logtail import tail

LEASH = Path(__file__).with_name("leash.py")

# Nothing else gets through: etcd, for one, reads every ETCD_* variable as an option.
INHERITED_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


class Component:
    """A running program. It ends when it is stopped, or with this process at the latest.

    A thread of its own starts the program and waits for it. That reaps it at once, and
    it keeps the leash true: the kernel pulls it when the *thread* ends that started the
    program, and whoever called us may be a short-lived worker thread.
    """

    def __init__(self, name: str, argv: Sequence[str], *, log: Path) -> None:
        """Start `argv` in a session of its own, appending its output to `log`.

        Raises:
            OSError: it could not be started.
        """
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self._log_begin = log.stat().st_size if log.exists() else 0
        self._ended = threading.Event()
        started: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(
            target=self._keep, args=(started,), name=f"keeper of {name}", daemon=True
        ).start()
        self._process = started.result()

    def _keep(self, started: Future[subprocess.Popen[bytes]]) -> None:
        try:
            process = _spawn(self.argv, self.log)
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()
        self._ended.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """As in `subprocess`: negative for a signal, None while it runs."""
        return self._process.returncode

    def log_tail(self) -> str:
        """Return the last lines this process (not an earlier one) has logged."""
        return tail(self.log, since=self._log_begin)

    def again(self) -> Component:
        """Start the same program with the same options once more."""
        return Component(self.name, self.argv, log=self.log)

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self, *, grace_s: float) -> None:
        """End it: SIGTERM, and SIGKILL after `grace_s`. Returns once it is gone and reaped."""
        if grace_s > 0:
            self.resume()  # one that is paused would not see the SIGTERM
            self._process.terminate()
            self._ended.wait(grace_s)
        self._process.kill()
        self._ended.wait()


def _spawn(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *argv],
            env={k: v for k, v in os.environ.items() if k in INHERITED_VARIABLES},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
