"""Nothing that a command started outlives it."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from configbuild.process import Launcher
from tests.process.support import (
    DAEMON,
    Gate,
    Recorder,
    children_of,
    has_ended,
    in_loop,
    is_there,
    open_files,
    processes_with,
    python,
    shell,
    watching,
)

# 128 processes, each in a session of its own; the command exits when the last one is there.
BOMB = """
import os, signal
command = os.getpid()
there, arrived = os.pipe()
for _ in range(7):
    if os.fork() == 0:
        os.setsid()
print("member", os.getpid(), flush=True)
os.write(arrived, b"x")
if os.getpid() != command:
    while True:
        signal.pause()
for _ in range(128):
    os.read(there, 1)
"""

# 16 processes that change their pid all the time: each forks, leaves the session and exits.
RUNNERS = """
import os, signal
command = os.getpid()
there, arrived = os.pipe()
if os.fork() == 0:
    for _ in range(4):
        os.fork()
    os.write(arrived, b"x")
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()
for _ in range(16):
    os.read(there, 1)
print("running", flush=True)
signal.pause()
"""


@in_loop
async def test_a_bomb_of_processes_in_sessions_of_their_own_is_dead_when_the_run_returns() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        result = await launcher.run(python(BOMB), sink)
    members = await sink.pids_after("member", lines=128)
    assert result.ok
    assert result.descendants_killed == 127
    assert not [pid for pid in members if is_there(pid)]


@pytest.mark.parametrize("times", range(3))
@in_loop
async def test_processes_that_run_away_from_pid_to_pid_are_caught(times: int) -> None:
    sink = Recorder()
    token = secrets.token_hex(8)
    async with await Launcher.start() as launcher:
        command = python(RUNNERS, env={"TOKEN": token})
        run = asyncio.create_task(launcher.run(command, sink, grace_s=0))
        await sink.words_after("running")
        assert processes_with(f"TOKEN={token}")
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not processes_with(f"TOKEN={token}")


@in_loop
async def test_a_stopped_descendant_is_killed_too(gate: Gate) -> None:
    program = (
        DAEMON
        + """
if os.fork() == 0:
    print("stopped", os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
open(sys.argv[1]).readline()
"""
    )
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(program, gate.path), sink))
        with watching(await sink.pids_after("stopped")) as [stopped]:
            gate.open()
            result = await run
            assert has_ended(stopped)
    assert result.descendants_killed == 1


@in_loop
async def test_orphans_that_die_during_the_run_are_reaped_during_the_run() -> None:
    program = """
import os
there, arrived = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(arrived, str(os.getpid()).encode())
    os._exit(0)
os.wait()
orphan = int(os.read(there, 20))
while os.path.exists(f"/proc/{orphan}"):
    pass
"""
    async with await Launcher.start() as launcher:
        result = await launcher.run(python(program), Recorder())
    assert result.ok
    assert result.descendants_killed == 0


@in_loop
async def test_many_runs_in_one_launcher_leave_no_file_thread_or_process() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(shell("echo launcher $PPID"), sink)
        [pid] = await sink.pids_after("launcher")
        files = open_files(pid)
        for _ in range(200):
            assert (await launcher.run(shell("exit 0"), Recorder())).ok
        assert open_files(pid) == files
        assert children_of(pid) == set()
