"""Commands in a cage: below the launcher, without root, and where the kernel has none."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from configbuild import confinement, landlock, seccomp
from configbuild.cage import Cage, Limits
from configbuild.errors import CommandError
from configbuild.process import Command, Launcher, SandboxUnavailableError
from tests.attacks.attempts import ATTEMPTS
from tests.attacks.targets import outcome_of
from tests.generated import ROOT
from tests.process.support import DAEMON, Recorder, has_ended, in_loop, python, shell, watching

SYSTEM = tuple(map(Path, ("/usr", "/bin", "/lib", "/lib64", sys.base_prefix)))
CAGE = Cage(readable=SYSTEM, writable=(Path("/dev/null"),))


def caged(command: Command, cage: Cage = CAGE) -> Command:
    return Command(argv=command.argv, env=command.env, cwd=command.cwd, cage=cage)


@pytest.fixture(scope="module")
def attempts() -> dict[str, list[str]]:
    """What an attacker without any privilege says of himself, in a cage and without."""
    return {way: _attack(way) for way in ("caged", "free")}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempt_without_privileges_is_denied_and_succeeds_without_the_cage(
    attempts: dict[str, list[str]], name: str
) -> None:
    assert outcome_of(attempts["caged"], "caged", name) == "denied"
    assert outcome_of(attempts["free"], "free", name) == "succeeded"


def _attack(way: str) -> list[str]:
    # Not below pytest's directories, which only their user may enter.
    directory = Path(tempfile.mkdtemp())
    try:
        directory.chmod(0o755)
        argv = [sys.executable, "-m", "tests.attacks.unprivileged", str(directory), way]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(directory)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@in_loop
async def test_a_cage_lasts_for_all_that_a_command_starts(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    script = 'setsid /bin/sh -c \'cat "$1"\' sh "$1"'
    async with await Launcher.start() as launcher:
        free, confined = Recorder(), Recorder()
        assert (await launcher.run(shell(script, tmp_path / "secret"), free)).ok
        assert not (await launcher.run(caged(shell(script, tmp_path / "secret")), confined)).ok
    assert free.stdout == b"secret"
    assert confined.stdout == b""
    assert b"Permission denied" in confined.stderr


@in_loop
async def test_cages_differ_from_command_to_command(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    script = '(: > "$1/file") 2>&-; (: > "$2/file") 2>&-; true'
    for folder in (first, second):
        folder.mkdir()
    async with await Launcher.start() as launcher:
        for folder, other in ((first, second), (second, first)):
            cage = Cage(readable=SYSTEM, writable=(folder,))
            await launcher.run(caged(shell(script, first, second), cage), Recorder())
            assert (folder / "file").exists()
            assert not (other / "file").exists() or folder is second


@in_loop
async def test_what_is_writable_has_to_be_there_and_what_is_readable_need_not(
    tmp_path: Path,
) -> None:
    missing = tmp_path / "missing"
    async with await Launcher.start() as launcher:
        readable = Cage(readable=(*SYSTEM, missing), writable=())
        assert (await launcher.run(caged(shell("exit 0"), readable), Recorder())).ok
        writable = caged(shell("exit 0"), Cage(readable=SYSTEM, writable=(missing,)))
        with pytest.raises(CommandError, match=str(missing)) as caught:
            await launcher.run(writable, Recorder())
    assert caught.value.reason == "CommandNotStarted"


@in_loop
async def test_nothing_is_privileged_in_a_cage() -> None:
    sink = Recorder()
    program = "print(open('/proc/self/status').read())"
    cage = Cage(readable=(*SYSTEM, Path("/proc")), writable=())
    async with await Launcher.start() as launcher:
        await launcher.run(caged(python(program), cage), sink)
    status = dict(line.split(":", 1) for line in sink.stdout.decode().splitlines() if ":" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


@in_loop
async def test_limits_are_those_of_the_cage() -> None:
    sink = Recorder()
    program = """
import resource as r
for kind in (r.RLIMIT_DATA, r.RLIMIT_NPROC, r.RLIMIT_FSIZE, r.RLIMIT_NOFILE, r.RLIMIT_CORE):
    print(*r.getrlimit(kind))
"""
    limits = Limits(memory_bytes=1 << 30, processes=100, file_bytes=1 << 20, open_files=50)
    cage = Cage(readable=SYSTEM, writable=(), limits=limits)
    async with await Launcher.start() as launcher:
        await launcher.run(caged(python(program), cage), sink)
    expected = [1 << 30, 100, 1 << 20, 50, 0]
    assert sink.stdout.decode().splitlines() == [f"{value} {value}" for value in expected]


@in_loop
async def test_threads_subprocesses_and_pairs_of_sockets_work_in_a_cage() -> None:
    program = """
import os, socket, subprocess, sys, threading
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
print(subprocess.run(["/bin/sh", "-c", "echo child"], capture_output=True, text=True).stdout)
a, b = socket.socketpair()
a.send(b"pair")
print(b.recv(4).decode())
os.setpriority(os.PRIO_PROCESS, 0, 5)
print(len(os.sched_getaffinity(0)) > 0)
"""
    sink = Recorder()
    async with await Launcher.start() as launcher:
        result = await launcher.run(caged(python(program)), sink)
    assert result.ok, sink.stderr
    assert sink.stdout.decode().split() == ["thread", "child", "pair", "True"]


@in_loop
async def test_a_daemon_that_left_a_caged_command_ends_with_it() -> None:
    sink = Recorder()
    leaving = python(f"{DAEMON}\nfor _ in range(5): daemon()\nrest()\n")
    async with await Launcher.start() as launcher:
        running = asyncio.create_task(launcher.run(caged(leaving), sink, grace_s=0))
        pids = await sink.pids_after("daemon", lines=5)
        with watching(pids) as pidfds:
            assert not any(has_ended(pidfd) for pidfd in pidfds)
            running.cancel()
            await asyncio.wait({running})
            assert all(has_ended(pidfd) for pidfd in pidfds)


def test_a_kernel_without_landlock_runs_nothing_in_a_cage_and_everything_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.without_landlock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    free, refused = done.stdout.splitlines()
    assert free == "free: 0"
    assert refused.startswith("caged: SandboxUnavailable: ")
    assert "no Landlock" in refused
    assert "ADE_SANDBOX=off" in refused


def test_this_kernel_has_all_that_a_cage_is_made_of() -> None:
    assert landlock.version() >= landlock.SCOPES_SINCE
    assert confinement.problem() is None
    assert confinement.gaps() == []
    assert not seccomp.is_known("vax")
    assert SandboxUnavailableError.reason == "SandboxUnavailable"
