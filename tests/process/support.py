"""What these tests share: real programs to run, gates that hold them up, and a sink that records.

No test sleeps until something has probably happened: programs say what they did in their output,
wait at a FIFO until the test opens it, and are seen to end through a pidfd.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ParamSpec

from configbuild.model import Stream
from configbuild.process import Command

P = ParamSpec("P")

# For what takes milliseconds, on a machine that is busy with something else.
PATIENCE_S = 30.0

# A process that left its parent and its session as thoroughly as a process can, and that keeps the
# command's output open: the beginning of Python programs below.
DAEMON = """
import os, signal, sys

def rest():
    while True:
        signal.pause()

def daemon():
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    print("daemon", os.getpid(), flush=True)
    rest()
"""


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test in an event loop of its own; it fails if it takes far too long."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(2 * PATIENCE_S):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


def shell(script: str, *args: object, env: Mapping[str, str] | None = None) -> Command:
    return _command("/bin/sh", "-c", script, "sh", *args, env=env)


def python(program: str, *args: object, env: Mapping[str, str] | None = None) -> Command:
    return _command(sys.executable, "-I", "-S", "-E", "-c", program, *args, env=env)


def _command(*argv: object, env: Mapping[str, str] | None) -> Command:
    return Command(
        argv=tuple(map(str, argv)),
        env={"PATH": "/usr/bin:/bin"} if env is None else env,
        cwd=Path("/"),
    )


class Recorder:
    """A sink that keeps everything, and in which a line can be waited for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.output = {stream: bytearray() for stream in Stream}
        self.ended: list[Stream] = []

    def feed(self, stream: Stream, chunk: bytes) -> None:
        self.output[stream] += chunk
        self._loop.call_soon_threadsafe(self._news.set)

    def end(self, stream: Stream) -> None:
        self.ended.append(stream)

    @property
    def stdout(self) -> bytes:
        return bytes(self.output[Stream.STDOUT])

    @property
    def stderr(self) -> bytes:
        return bytes(self.output[Stream.STDERR])

    async def words_after(self, word: str, *, lines: int = 1) -> list[str]:
        """Wait for so many whole lines that begin with ``word``; what they say after it."""
        while True:
            self._news.clear()
            whole = self.stdout.decode().splitlines(keepends=True)
            found = [
                line.removeprefix(word).strip()
                for line in whole
                if line.startswith(word) and line.endswith("\n")
            ]
            if len(found) >= lines:
                return found
            await self._news.wait()

    async def pids_after(self, word: str, *, lines: int = 1) -> list[int]:
        return [int(pid) for pid in await self.words_after(word, lines=lines)]


class Gate:
    """A FIFO at which a program waits, by reading from it, until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR)

    def open(self) -> None:
        os.write(self._fd, b"open\n")

    def close(self) -> None:
        os.close(self._fd)


@contextlib.contextmanager
def watching(pids: Iterable[int]) -> Iterator[list[int]]:
    """Hold a pidfd of each process, so that its end cannot be mistaken for anybody else's."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    try:
        yield pidfds
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def has_ended(pidfd: int, *, within_s: float = 0.0) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(within_s * 1000))


def processes_with(variable: str) -> set[int]:
    """All processes in whose environment this ``NAME=value`` stands."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                environment = (entry / "environ").read_bytes().split(b"\0")
                if variable.encode() in environment:
                    found.add(int(entry.name))
    return found


def children_of(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def is_there(pid: int) -> bool:
    """Whether a process has this pid; one that is dead but not reaped still has it."""
    return Path(f"/proc/{pid}").exists()


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
