"""What a command is given, and what is learnt of its end."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from configbuild.errors import CommandError
from configbuild.process import Command, Launcher
from configbuild.survivors import MARK
from tests.process.support import Recorder, in_loop, python, shell


@in_loop
async def test_exit_codes_are_those_of_the_command() -> None:
    async with await Launcher.start() as launcher:
        for code in (0, 1, 127, 255):
            result = await launcher.run(shell('exit "$1"', code), Recorder())
            assert (result.exit_code, result.signal, result.status) == (code, None, code)
            assert result.ok == (code == 0)


@in_loop
async def test_death_by_a_signal_is_told_apart_from_an_exit() -> None:
    async with await Launcher.start() as launcher:
        result = await launcher.run(shell("kill -SEGV $$"), Recorder())
    assert (result.exit_code, result.signal) == (None, signal.SIGSEGV)
    assert result.status == 128 + signal.SIGSEGV
    assert not result.ok


@in_loop
async def test_a_program_that_cannot_be_started_is_told_apart_from_exit_code_127(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script"
    script.write_text("not executable")
    missing = tmp_path / "missing"
    text_alone = tmp_path / "text"
    text_alone.write_bytes(b"\x00")
    text_alone.chmod(0o755)
    cases = [
        (Command(argv=(str(missing),), env={}, cwd=tmp_path), FileNotFoundError, missing),
        (Command(argv=(str(script),), env={}, cwd=tmp_path), PermissionError, script),
        (Command(argv=(str(text_alone),), env={}, cwd=tmp_path), OSError, "Exec format error"),
        (Command(argv=("/bin/sh",), env={}, cwd=missing), FileNotFoundError, missing),
        (shell("exit 0", "x" * 1024 * 1024), OSError, "Argument list too long"),
    ]
    async with await Launcher.start() as launcher:
        for command, cause, named in cases:
            with pytest.raises(CommandError) as caught:
                await launcher.run(command, Recorder())
            assert caught.value.reason == "CommandNotStarted"
            assert caught.value.exit_code is None
            assert isinstance(caught.value.__cause__, cause)
            assert str(named) in caught.value.message
        assert (await launcher.run(shell("exit 127"), Recorder())).exit_code == 127


def test_a_program_is_named_by_an_absolute_path() -> None:
    for argv in ((), ("sh",), ("./sh",), ("",)):
        with pytest.raises(ValueError, match="absolute path"):
            Command(argv=argv, env={}, cwd=Path("/"))


def test_what_no_program_can_be_given_is_refused_before_it_runs() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Command(argv=("/bin/sh", "a\0b"), env={}, cwd=Path("/"))
    with pytest.raises(ValueError, match="NUL"):
        Command(argv=("/bin/sh",), env={"A": "a\0b"}, cwd=Path("/"))
    with pytest.raises(ValueError, match="A=B"):
        Command(argv=("/bin/sh",), env={"A=B": ""}, cwd=Path("/"))


@in_loop
async def test_the_environment_is_what_was_given_and_the_mark() -> None:
    env_program = shutil.which("env")
    assert env_program is not None
    given = {"A": "1", "EMPTY": "", "LINES": "a\nb", "ÜNI": "ß", "BYTES": "\udcff"}
    sink = Recorder()
    async with await Launcher.start() as launcher:
        command = Command(argv=(env_program, "-0"), env=given, cwd=Path("/"))
        await launcher.run(command, sink)
    lines = os.fsdecode(sink.stdout).removesuffix("\0").split("\0")
    seen = dict(line.split("=", 1) for line in lines)
    assert len(seen.pop(MARK)) == 32
    assert seen == given


@in_loop
async def test_an_environment_of_a_megabyte_arrives() -> None:
    given = {f"V{number}": "x" * 100_000 for number in range(10)}
    sink = Recorder()
    program = "import os; print(sum(len(v) for k, v in os.environ.items() if k[0] == 'V'))"
    async with await Launcher.start() as launcher:
        await launcher.run(python(program, env=given), sink)
    assert sink.stdout == b"1000000\n"


@in_loop
async def test_the_command_runs_in_its_directory(tmp_path: Path) -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(Command(argv=("/bin/sh", "-c", "pwd"), env={}, cwd=tmp_path), sink)
    assert sink.stdout == f"{tmp_path}\n".encode()


@in_loop
async def test_the_command_cannot_read_what_the_operator_could() -> None:
    sink = Recorder()
    standard_input = os.dup(0)
    read_end, write_end = os.pipe()
    os.dup2(read_end, 0)
    try:
        async with await Launcher.start() as launcher:
            await launcher.run(shell("readlink /proc/self/fd/0"), sink)
    finally:
        os.dup2(standard_input, 0)
        for fd in (standard_input, read_end, write_end):
            os.close(fd)
    assert sink.stdout == b"/dev/null\n"


@in_loop
async def test_the_command_holds_no_file_but_its_three_streams() -> None:
    program = """
import os
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
print([fd for fd in range(4096) if is_open(fd)])
"""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(python(program), sink)
    os.close(read_end)
    os.close(write_end)
    assert sink.stdout == b"[0, 1, 2]\n"


# Signals 32 and 33 are glibc's own (nptl(7)): no program can set them, and GNU make leaves them
# ignored in what it starts.
_OF_THE_C_LIBRARY = 0b11 << 31


@in_loop
async def test_signals_and_umask_do_not_depend_on_the_operators() -> None:
    sink = Recorder()
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    umask = os.umask(0o077)
    try:
        async with await Launcher.start() as launcher:
            await launcher.run(shell("umask; exec cat /proc/self/status"), sink)
    finally:
        signal.signal(signal.SIGHUP, hangup)
        os.umask(umask)
    lines = sink.stdout.decode().splitlines()
    assert lines[0] == "0022"
    status = dict(line.split(":\t", 1) for line in lines[1:])
    for name in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"):
        assert int(status[name], 16) & ~_OF_THE_C_LIBRARY == 0, name


@in_loop
async def test_the_command_leads_a_session_of_its_own() -> None:
    sink = Recorder()
    program = """
import os
print(os.getpid() == os.getsid(0) == os.getpgrp() != os.getsid(os.getppid()))
"""
    async with await Launcher.start() as launcher:
        await launcher.run(python(program), sink)
    assert sink.stdout == b"True\n"


@in_loop
async def test_resources_of_all_its_processes_are_counted() -> None:
    hungry = """
import os, time
if os.fork() == 0:
    block = b"x" * (64 << 20)
    while time.process_time() < 0.1: pass
    os._exit(0)
os.wait()
"""
    async with await Launcher.start() as launcher:
        result = await launcher.run(python(hungry), Recorder())
    assert result.max_rss_kib >= 64 * 1024
    assert result.cpu_s >= 0.1
    assert result.duration_s >= 0.1
    assert result.descendants_killed == 0
