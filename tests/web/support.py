"""What these tests share: the real service behind a real server on a real socket.

Builds are real: launcher, steps, journal, a venv that is verified. Only uv has a stand-in
(``uv.sh``), so that a build takes half a second and a test can hold it at a gate.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import ssl
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from configbuild.builds.service import Builds
from configbuild.builds.state import Declared, LastKnown
from configbuild.builds.workshop import Reader, Workshop
from configbuild.interpreters import Interpreter, Interpreters
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildId, ConfigKey
from configbuild.resource.convert import SpecDefaults
from configbuild.settings import base_python
from configbuild.sources import ConfigMapContent, SourceResolver
from configbuild.web.app import create_app
from configbuild.web.server import serve

PYTHON = Interpreter(
    path=base_python(), version=platform.python_version(), platform=sysconfig.get_platform()
)
INVOICES = ConfigKey("team-a", "invoices")
BUILDS = "/api/v1/workspaces/team-a/configs/invoices/builds"


def spec(config: str = "ade-config==2.1", **more: Any) -> dict[str, Any]:
    return {
        "engine": {"requirement": "ade-engine==1.4.0"},
        "config": {"requirement": config},
        **more,
    }


@dataclass(slots=True, kw_only=True)
class Declarations:
    """Configs and ConfigMaps as they would be in a cluster, in memory."""

    specs: dict[ConfigKey, dict[str, Any]] = field(default_factory=dict)
    last_known: LastKnown = field(default_factory=LastKnown)
    config_maps: dict[tuple[str, str], ConfigMapContent] = field(default_factory=dict)
    fault: Exception | None = None

    async def declared(self, key: ConfigKey) -> Declared | None:
        if self.fault is not None:
            raise self.fault
        if key not in self.specs:
            return None
        return Declared(
            key=key,
            uid=f"uid-{key}",
            generation=1,
            spec=self.specs[key],
            last_known=self.last_known,
        )

    async def get(self, namespace: str, name: str) -> ConfigMapContent | None:
        return self.config_maps.get((namespace, name))

    def settled(self, key: ConfigKey) -> None:
        pass

    def changed(self, key: ConfigKey) -> None:
        """Nobody watches here."""


class Gate:
    """A FIFO at which the install of a config waits until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)

    def open(self) -> None:
        os.write(self._fd, b"open\n")

    def close(self) -> None:
        os.close(self._fd)


@dataclass(slots=True, kw_only=True)
class Site:
    """A running operator, as far as HTTP reaches."""

    http: httpx.AsyncClient
    url: str
    app: FastAPI
    builds: Builds
    journals: Journals
    declarations: Declarations
    directory: Path
    server: asyncio.Task[None]

    def shut_gate(self) -> Gate:
        return Gate(self.directory / "gate")

    def journal(self, build_id: str) -> bytes:
        return self.journals.path(BuildId.parse(build_id)).read_bytes()

    async def post(self, **body: Any) -> httpx.Response:
        return await self.http.post(BUILDS, json=body)

    async def build(self) -> dict[str, Any]:
        """Make one build and wait for its end."""
        answer = await self.post(options={"wait": True})
        assert answer.status_code == 201, answer.text
        built: dict[str, Any] = answer.json()
        return built

    async def events(self, build_id: str, **query: Any) -> bytes:
        answer = await self.http.get(f"/api/v1/builds/{build_id}/events", params=query)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def status(self, build_id: str) -> str:
        answer = await self.http.get(f"/api/v1/builds/{build_id}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])


class Lines:
    """Reads the lines of a stream as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.read = b""
        self._blocks = answer.aiter_raw()
        self._pending = b""

    async def line(self) -> bytes:
        """Read the next line, empty ones included; ``EOFError`` at the end."""
        while b"\n" not in self._pending:
            block = await anext(self._blocks, None)
            if block is None:
                raise EOFError(self._pending)
            self._pending += block
        line, _, self._pending = self._pending.partition(b"\n")
        self.read += line + b"\n"
        return line

    async def event(self) -> dict[str, Any]:
        """Read the next event."""
        while not (line := await self.line()):
            pass
        event: dict[str, Any] = json.loads(line)
        return event

    async def until(self, message: str) -> dict[str, Any]:
        """Read up to the event that says this."""
        while (event := await self.event()).get("message") != message:
            pass
        return event

    async def rest(self) -> bytes:
        """Read to the end, and give all that was read of the stream."""
        try:
            while True:
                await self.line()
        except EOFError as left:
            return self.read + bytes(left.args[0])


@asynccontextmanager
async def site(
    directory: Path,
    *,
    uv: Path | None = None,
    max_concurrency: int = 2,
    queue_limit: int = 10,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    """Run everything there is behind HTTP; ``uv`` is the stand-in unless given."""
    declarations = Declarations(specs={INVOICES: spec()})
    layout = Layout(
        venvs=directory / "venvs",
        logs=directory / "logs",
        cache=directory / "cache",
        sources=directory / "sources",
    )
    journals = Journals(layout.logs)
    builds = Builds(
        catalog=declarations,
        reader=Reader(
            defaults=SpecDefaults(python=PYTHON.minor),
            interpreters=Interpreters(known=(PYTHON,)),
            resolver=SourceResolver(layout=layout, config_maps=declarations),
        ),
        workshop=Workshop(
            layout=layout,
            operator_python=Path(sys.executable),
            uv=uv or Path(shutil.copy2(Path(__file__).with_name("uv.sh"), directory / "uv")),
            wheelhouse=None,
            environment=os.environ,
            grace_s=1.0,
            # The stand-in for uv waits at a FIFO of the test's.
            sandbox=False,
        ),
        journals=journals,
        listener=declarations,
        max_concurrency=max_concurrency,
        queue_limit=queue_limit,
    )
    app = create_app(builds, journals, **{"registry": CollectorRegistry(), **options})
    running = asyncio.create_task(builds.run())
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve(app, host=host, port=0, tls=tls, on_started=started.set_result)
    )
    try:
        beginnings: set[asyncio.Future[Any]] = {server, started}
        await asyncio.wait(beginnings, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            await server  # raises what kept it from beginning
        url = started.result()
        async with httpx.AsyncClient(
            base_url=url, trust_env=False, verify=False, timeout=30
        ) as http:
            yield Site(
                http=http,
                url=url,
                app=app,
                builds=builds,
                journals=journals,
                declarations=declarations,
                directory=directory,
                server=server,
            )
    finally:
        for task in (server, running):
            task.cancel()
        await asyncio.gather(server, running, return_exceptions=True)


def events_of(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines() if line]
