"""The operator dies, the launcher dies, or it never lived."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configbuild.errors import LauncherError
from configbuild.process import Launcher
from tests.process.support import (
    DAEMON,
    PATIENCE_S,
    Recorder,
    has_ended,
    in_loop,
    python,
    shell,
    watching,
)

FAMILY = (
    DAEMON
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
daemon()
daemon()
print("launcher", os.getppid())
print("command", os.getpid(), flush=True)
rest()
"""
)


def test_sigkill_of_the_operator_leaves_no_process() -> None:
    victim = Path(__file__).with_name("victim.py")
    with subprocess.Popen(
        [sys.executable, victim, FAMILY],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as operator:
        assert operator.stdout is not None
        family = dict.fromkeys(operator.stdout.readline().split()[-1] for _ in range(4))
        with watching(map(int, family)) as pidfds:
            assert len(pidfds) == 4
            assert not any(map(has_ended, pidfds))
            operator.kill()
            assert all(has_ended(pidfd, within_s=PATIENCE_S) for pidfd in pidfds)


@in_loop
async def test_sigkill_of_the_launcher_is_an_error_and_leaves_no_process() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(FAMILY), sink))
        [command] = await sink.pids_after("command")
        [process] = await sink.pids_after("launcher")
        with watching([command, *await sink.pids_after("daemon")]) as pidfds:
            os.kill(process, signal.SIGKILL)
            with pytest.raises(LauncherError, match="SIGKILL"):
                await run
            assert all(has_ended(pidfd, within_s=PATIENCE_S) for pidfd in pidfds)
        with pytest.raises(LauncherError, match="SIGKILL"):
            await launcher.run(shell("exit 0"), Recorder())


@in_loop
async def test_sigkill_of_the_launcher_ends_a_command_that_wiped_its_environment() -> None:
    program = """
import os, signal, sys
if len(sys.argv) == 2:
    os.execve(sys.executable, ["python", "-c", sys.argv[1], "again", "again"], {})
print("launcher", os.getppid())
print("command", os.getpid(), flush=True)
signal.pause()
"""
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(program, program), sink))
        [command_pid] = await sink.pids_after("command")
        [process] = await sink.pids_after("launcher")
        with watching([command_pid]) as [command]:
            os.kill(process, signal.SIGKILL)
            with pytest.raises(LauncherError, match="SIGKILL"):
                await run
            assert has_ended(command, within_s=PATIENCE_S)


@in_loop
async def test_sigkill_of_the_launcher_between_commands_is_an_error_of_the_next() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(shell("echo launcher $PPID"), sink)
        [process] = await sink.pids_after("launcher")
        os.kill(process, signal.SIGKILL)
        with pytest.raises(LauncherError, match="SIGKILL"):
            await launcher.run(shell("exit 0"), Recorder())


@in_loop
async def test_the_launcher_leaves_it_to_the_operator_what_a_signal_means() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(shell("echo launcher $PPID"), sink)
        [process] = await sink.pids_after("launcher")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP):
            os.kill(process, number)
        assert (await launcher.run(shell("exit 0"), Recorder())).ok
        assert os.getsid(process) == process


@in_loop
async def test_the_launcher_knows_nothing_of_the_operators_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPERATOR_TOKEN", "secret")
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(shell("cat /proc/$PPID/environ"), sink)
    assert b"secret" not in sink.stdout


@in_loop
async def test_an_interpreter_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="No such file"):
        await Launcher.start(python=tmp_path / "python")


@in_loop
async def test_an_interpreter_that_does_not_work_is_an_error(tmp_path: Path) -> None:
    broken = _script(tmp_path / "python", "exit 3")
    with pytest.raises(LauncherError, match="exited with code 3 before it was ready"):
        await Launcher.start(python=broken)


@in_loop
async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await Launcher.start(python=_script(tmp_path / "python", "exec sleep 3600"))
    start = asyncio.create_task(Launcher.start())
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start


@in_loop
async def test_other_systems_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        with pytest.raises(LauncherError, match="Linux only, and this is darwin"):
            await Launcher.start()


@in_loop
async def test_one_command_at_a_time() -> None:
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(shell("exit 0"), Recorder()))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one command at a time"):
            await launcher.run(shell("exit 0"), Recorder())
        assert (await run).ok


@in_loop
async def test_a_closed_launcher_stays_closed() -> None:
    launcher = await Launcher.start()
    await launcher.aclose()
    await launcher.aclose()
    with pytest.raises(LauncherError, match="closed"):
        await launcher.run(shell("exit 0"), Recorder())


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path
