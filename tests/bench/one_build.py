"""Serves one build over HTTP, for benchmarks: ``python -m tests.bench.one_build DIRECTORY``.

A process of its own, so that what it takes can be told apart from its clients. Everything from the
pipe of a command to the socket is the product; only the service that knows of builds is a stand-in
that knows this one. It says where it is, and then does what each line of its input says, and
answers with a line of JSON:

* ``idle SECONDS``: nothing but to tell how late the event loop is meanwhile;
* ``run COMMAND``: journals what a shell command writes, and tells the same;
* ``end``: ends the build.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry

from configbuild.builds.records import BuildRecord, record_of
from configbuild.events import BuildCompleted, BuildCreated
from configbuild.journal import Journals, JournalWriter
from configbuild.model import BuildId, BuildStatus, Step, Trigger
from configbuild.process import Command, Launcher
from configbuild.redaction import Redactor
from configbuild.steplog import StepLog
from configbuild.tuning import tune
from configbuild.web.app import create_app
from configbuild.web.backend import BuildService
from configbuild.web.server import serve
from tests.bench.meters import loop_delays, p99

# What is checked is every line, so none may be left out.
NO_LIMIT = 2**62


class _Known:
    """A service that knows one build: what following it asks for."""

    def __init__(self, record: BuildRecord) -> None:
        self.record = record
        self.ended = asyncio.Event()

    async def find(self, build_id: BuildId) -> BuildRecord | None:
        return self.record if build_id == self.record.id else None

    async def wait(self, build_id: BuildId) -> None:
        await self.ended.wait()


class OneBuild:
    """The process, as its client sees it."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.one_build", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        told = self._answer()
        self.port = int(told["port"])
        self.build_id = str(told["build_id"])
        self.journal = Path(told["journal"])

    @property
    def pid(self) -> int:
        """Its number, to look up what it takes."""
        return self._process.pid

    def path(self, *, follow: bool) -> str:
        """Name what the events are read from."""
        return f"/api/v1/builds/{self.build_id}/events?follow={json.dumps(follow)}"

    def begin(self, words: str) -> None:
        """Have it do something; :meth:`finished` waits for it."""
        assert self._process.stdin
        self._process.stdin.write(f"{words}\n")

    def finished(self) -> dict[str, Any]:
        """Wait until it has done that; what it has to tell."""
        return self._answer()

    def do(self, words: str) -> dict[str, Any]:
        """Have it do something and wait for it."""
        self.begin(words)
        return self.finished()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        assert self._process.wait() == 0
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the server has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def one_build(directory: Path) -> Iterator[OneBuild]:
    """Have such a process for the length of a block."""
    process = OneBuild(directory)
    try:
        yield process
    finally:
        process.close()


async def main(directory: Path) -> None:
    """Serve until the input ends."""
    journals = Journals(directory / "logs", limit_bytes=NO_LIMIT)
    writer = journals.create(BuildId.new())
    created = BuildCreated(
        status=BuildStatus.BUILDING, config_id="c", workspace_id="w", trigger=Trigger.INITIAL
    )
    known = _Known(record_of(writer.append(created)))
    app = create_app(cast("BuildService", known), journals, registry=CollectorRegistry())
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(app, host="127.0.0.1", port=0, on_started=started.set_result)
    )
    _tell(
        port=int((await started).rpartition(":")[2]),
        build_id=writer.build_id,
        journal=str(writer.path),
    )
    async for words in _lines():
        _tell(**await _do(words, writer, known))
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    writer.close()


async def _do(words: str, writer: JournalWriter, known: _Known) -> dict[str, Any]:
    act, _, operand = words.partition(" ")
    async with loop_delays() as delays:
        match act:
            case "idle":
                await asyncio.sleep(float(operand))
            case "run":
                await _run(operand, writer)
            case "end":
                writer.append(
                    BuildCompleted(status=BuildStatus.ACTIVE, exit_code=0, summary="done")
                )
                known.ended.set()
    return {"late_ms": p99(delays) if delays else 0.0}


async def _run(command: str, writer: JournalWriter) -> None:
    log = StepLog(writer, step=Step.INSTALL_ENGINE, redactor=Redactor())
    argv = ("/bin/sh", "-c", f"exec {command}")
    async with await Launcher.start() as launcher:
        ended = await launcher.run(
            Command(argv=argv, env={"PATH": os.defpath}, cwd=writer.path.parent), log
        )
    assert ended.ok
    writer.sync()


async def _lines() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.removesuffix("\n")


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    tune()
    asyncio.run(main(Path(sys.argv[1])))
