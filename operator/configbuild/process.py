"""Runs the commands of a build, each as a subprocess that is ended whole and always reaped.

The operator's end of :mod:`configbuild.launcher`: one :class:`Launcher` for each build, one command
at a time. :meth:`Launcher.run` returns when the command itself has exited and everything that it
started is dead; a process that holds on to its output does not hold it up. A thread reads the
output, since what is made of it (redaction, lines, a write to the journal) would hold up the loop.

Nothing is left behind: not by a command that ends, not by a cancellation, not by the operator's own
death, even by SIGKILL. Should the launcher itself be killed, the kernel ends its command with it,
and :func:`.kill_marked` what that had started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from configbuild.cage import Cage
from configbuild.errors import CommandError, LauncherError
from configbuild.outcome import SANDBOX_UNAVAILABLE
from configbuild.output import CommandOutput, OutputSink
from configbuild.survivors import MARK, kill_marked

# Time for pip or uv to remove temporary files and to write a last line, well within the 30 s that
# Kubernetes gives a pod to end.
GRACE_S = 5.0

# New files are for everybody to read: those who use a venv need not be the user who built it.
UMASK = 0o022

# All that the launcher gets of the operator's environment, which may hold secrets: what some
# interpreters need to find their own shared library.
LAUNCHER_ENV = ("LD_LIBRARY_PATH",)

LAUNCHER = Path(__file__).with_name("launcher.py")

# Far more than any answer of the launcher, which holds a handful of numbers or one path.
PACKET_BYTES = 64 * 1024


class SandboxUnavailableError(LauncherError):
    """There is no sandbox on this machine, and the command is not to run without."""

    reason = SANDBOX_UNAVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run: no shell, no search along a PATH, nothing inherited.

    ``env`` is the whole environment, save for :data:`.MARK`. Without a ``cage`` the command may do
    what the operator may. ``ValueError`` if ``argv[0]`` is not an absolute path, or if something in
    here cannot be passed to any program.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    cage: Cage | None = None

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0].startswith("/"):
            raise ValueError(f"argv[0] must be an absolute path: {self.argv[:1]}")
        if any("\0" in text for text in (*self.argv, *self.env, *self.env.values(), str(self.cwd))):
            raise ValueError(f"no program can be given a NUL character: {self.argv[0]}")
        if bad := [name for name in self.env if not name or "=" in name]:
            raise ValueError(f"these cannot be names of environment variables: {bad}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandExit:
    """How a command ended: with an ``exit_code`` or by a ``signal``; the other is ``None``.

    ``duration_s`` is that of the command itself; ``cpu_s`` includes all that it started, and
    ``max_rss_kib`` is that of the largest process, but at least what the launcher needs itself
    (about 9 MiB). ``descendants_killed`` counts the processes that had to be ended by force.
    """

    exit_code: int | None
    signal: int | None
    duration_s: float
    descendants_killed: int
    max_rss_kib: int
    cpu_s: float

    @property
    def status(self) -> int:
        """One number for both, as shells have it: the exit code, or 128 plus the signal."""
        if self.exit_code is not None:
            return self.exit_code
        assert self.signal is not None
        return 128 + self.signal

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.exit_code == 0


class Launcher:
    """The process below which all commands of one build run, one after the other.

    Made by :meth:`start`; ended by :meth:`aclose`, or by leaving its ``async with`` block.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._mark = secrets.token_hex(16)
        self._process = process
        self._control = control
        self._closing = False
        self._hung_up = False
        self._unconfined: str | None = None
        self._packet: asyncio.Future[bytes] | None = None
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)
        self._loop.add_reader(control, self._on_packet)

    @classmethod
    async def start(cls, *, python: Path = Path(sys.executable)) -> Self:
        """Start a launcher with the interpreter ``python``.

        ``LauncherError`` if that fails, or if this is not Linux. Cancelled, it leaves nothing.
        """
        if sys.platform != "linux":
            raise LauncherError(
                f"builds run on Linux only, and this is {sys.platform}: use a container"
            )
        control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        try:
            with far_end:
                launcher = cls(_spawn(python, far_end), control)
        except OSError as error:
            control.close()
            raise LauncherError(f"the launcher cannot be started: {error}") from error
        try:
            await launcher._await_ready(python)
        except BaseException:
            launcher._process.kill()  # what it is may not know that end of file means to end
            await launcher.aclose()
            raise
        return launcher

    async def run(
        self, command: Command, sink: OutputSink, *, grace_s: float = GRACE_S
    ) -> CommandExit:
        """Run one command to its end and feed ``sink`` with its output, live and whole.

        Returns when the command has exited, everything that it started is dead and reaped, and both
        streams have ended in the sink. A command that fails does not raise: see the result.

        Cancelled, it sends SIGTERM to the command and all below it, after ``grace_s`` SIGKILL, and
        raises ``CancelledError`` when all are reaped and the last output is fed; a second
        cancellation cuts the grace short. A command that had ended in that very moment still
        counts as cancelled.

        Raises ``CommandError`` with the reason ``CommandNotStarted`` if exec fails (no such file,
        no permission, no such directory), ``SandboxUnavailableError`` if it has a cage and there
        can be none here, ``LauncherError`` if the launcher dies or is closed,
        what the sink raised (the command is then ended as if cancelled), and ``RuntimeError`` if a
        command is running already.
        """
        if self._packet is not None:
            raise RuntimeError("a launcher runs one command at a time")
        if command.cage is not None and self._unconfined is not None:
            raise SandboxUnavailableError(
                f"nothing of a build is run without a sandbox, and {self._unconfined};"
                " ADE_SANDBOX=off runs builds all the same"
            )
        if self._hung_up or self._closing:
            raise await self._death()
        self._packet = answer = self._loop.create_future()
        try:
            with CommandOutput(sink) as output:
                self._request(command, output.write_ends)
                output.hand_over()
                cancelled = await self._see_through(answer, output, grace_s)
        finally:
            self._packet = None
        if cancelled is not None:
            raise cancelled
        if output.failure is not None:
            raise output.failure
        if not answer.result():
            raise await self._death()
        return _command_exit(command, json.loads(answer.result()))

    async def aclose(self) -> None:
        """End the launcher and, at once, all that still runs below it; all are reaped.

        May be called again. A cancellation is put off until that has happened.
        """
        self._closing = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        cancelled: asyncio.CancelledError | None = None
        while not self._exited.done():
            try:
                await asyncio.wait({self._exited})
            except asyncio.CancelledError as error:
                cancelled = error
        while not self._hung_up:  # a run must hear of it, whatever the loop saw first
            self._on_packet()
        self._control.close()
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.aclose()

    async def _await_ready(self, python: Path) -> None:
        self._packet = self._loop.create_future()
        packet = await self._packet
        self._packet = None
        if not packet:
            ending = _ending(await asyncio.shield(self._exited))
            raise LauncherError(
                f"the launcher {ending} before it was ready: is {python} "
                "a working Python? What it had to say is in the operator's own error output"
            )
        told = json.loads(packet)
        if problem := told.get("error"):
            raise LauncherError(f"the launcher cannot work here: {problem}")
        self._unconfined = told["unconfined"]

    def _request(self, command: Command, write_ends: list[int]) -> None:
        request = {
            "argv": command.argv,
            "env": {**command.env, MARK: self._mark},
            "cwd": str(command.cwd),
            "umask": UMASK,
            "cage": None if command.cage is None else _cage_request(command.cage),
        }
        with os.fdopen(os.memfd_create("configbuild-request"), "wb") as file:
            file.write(json.dumps(request).encode())
            file.flush()
            self._send({"op": "run"}, [file.fileno(), *write_ends])

    def _send(self, packet: dict[str, object], fds: list[int]) -> None:
        """Send a packet. That the launcher is gone is nothing new here: end of file says it."""
        with contextlib.suppress(ConnectionError):
            socket.send_fds(self._control, [json.dumps(packet).encode()], fds)

    async def _see_through(
        self, answer: asyncio.Future[bytes], output: CommandOutput, grace_s: float
    ) -> asyncio.CancelledError | None:
        """Wait for the answer and the end of the output through all cancellations; the first one.

        For futures, not for a task: ``asyncio.run`` cancels every task at its end, also this one.
        """
        cancelled: asyncio.CancelledError | None = None
        graces = [0.0, grace_s]
        waiting: set[asyncio.Future[Any]] = {answer, output.done}
        while waiting:
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                self._stop(graces)
            done = {future for future in waiting if future.done()}
            waiting -= done
            if answer in done:
                if not answer.result():
                    kill_marked(self._mark)
                output.command_ended()
            elif output.done in done and output.failure is not None:
                self._stop(graces)
        return cancelled

    def _stop(self, graces: list[float]) -> None:
        """Have the launcher end the command with the next grace; asking a third time is vain."""
        if graces:
            self._send({"op": "stop", "grace_s": graces.pop()}, [])

    async def _death(self) -> LauncherError:
        if self._closing:
            return LauncherError("the launcher was closed, and all that it ran has ended")
        ending = _ending(await asyncio.shield(self._exited))
        return LauncherError(f"the launcher {ending}, and all that it ran ended with it")

    def _on_packet(self) -> None:
        try:
            packet = self._control.recv(PACKET_BYTES)
        except ConnectionError:
            packet = b""
        if not packet:
            self._hung_up = True
            self._loop.remove_reader(self._control)
        if self._packet is not None and not self._packet.done():
            self._packet.set_result(packet)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exited.set_result(self._process.wait())


def _spawn(python: Path, control: socket.socket) -> subprocess.Popen[bytes]:
    # A session of its own, so that Ctrl-C reaches the operator only, which then decides.
    return subprocess.Popen(
        [python, "-I", "-S", "-E", LAUNCHER, str(control.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        env={name: os.environ[name] for name in LAUNCHER_ENV if name in os.environ},
        start_new_session=True,
    )


def _cage_request(cage: Cage) -> dict[str, object]:
    return {
        "readable": [str(path) for path in cage.readable],
        "writable": [str(path) for path in cage.writable],
        "ports": list(cage.ports),
        **asdict(cage.limits),
    }


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with code {returncode}"
    return f"was killed by {signal.Signals(-returncode).name}"


def _command_exit(command: Command, answer: dict[str, Any]) -> CommandExit:
    if "errno" in answer:
        cause = OSError(answer["errno"], os.strerror(answer["errno"]), answer["path"])
        raise CommandError(
            f"{command.argv[0]} could not be started: {cause}", reason="CommandNotStarted"
        ) from cause
    return CommandExit(
        exit_code=answer["code"],
        signal=answer["signal"],
        duration_s=answer["duration_s"],
        descendants_killed=answer["killed"],
        max_rss_kib=answer["max_rss_kib"],
        cpu_s=answer["user_s"] + answer["system_s"],
    )
