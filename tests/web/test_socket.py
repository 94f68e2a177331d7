"""How the server's connections behave below HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from configbuild.web import server
from tests.process.support import in_loop
from tests.waits import PATIENCE_S
from tests.web.support import BUILDS, INVOICES, Site, site

POST = f"POST {BUILDS} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
WHOLE = "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"

# What a client may stop at, and what it has been told by then.
INCOMPLETE = {
    "nothing": ("", b""),
    "half a line": ("GET /heal", b""),
    "half a head": ("GET /healthz HTTP/1.1\r\nHost: here\r\n", b""),
    "no body": (f"{POST}Content-Length: 50\r\n\r\n", b""),
    "half a body": (f'{POST}Content-Length: 50\r\n\r\n{{"stream"', b""),
    "half a chunk": (f"{POST}Transfer-Encoding: chunked\r\n\r\n50\r\n{{", b""),
    "half another request": (f"{WHOLE}GET /healthz HTTP/1.1\r\nHost:", b"HTTP/1.1 200 "),
}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_are_known_as_tcp_so_that_nothing_waits_to_be_sent(host: str) -> None:
    with server._listener(host, 0) as listener:
        # What asyncio looks at before it sets TCP_NODELAY on an accepted connection.
        assert listener.proto == socket.IPPROTO_TCP


@asynccontextmanager
async def impatient(here: Site, request_timeout_s: float) -> AsyncIterator[int]:
    """Serve the same application once more, with little patience; its port."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        server.serve(
            here.app,
            host="127.0.0.1",
            port=0,
            request_timeout_s=request_timeout_s,
            on_started=started.set_result,
        )
    )
    try:
        yield int((await started).rpartition(":")[2])
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize(("sent", "told"), INCOMPLETE.values(), ids=INCOMPLETE)
@in_loop
async def test_client_that_never_finishes_its_request_is_let_go(
    tmp_path: Path, sent: str, told: bytes
) -> None:
    async with site(tmp_path) as here, impatient(here, 0.2) as port, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        answer = await reader.read()  # to the end of the connection
        assert answer.startswith(told)
        assert bool(answer) is bool(told)
        writer.close()
        await writer.wait_closed()
        assert here.builds.state(INVOICES) is None


@in_loop
async def test_answer_may_take_longer_than_a_request(tmp_path: Path) -> None:
    async with site(tmp_path, heartbeat_s=0.1) as here, asyncio.timeout(PATIENCE_S):
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        async with impatient(here, 0.2) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            path = f"/api/v1/builds/{build_id}/events?follow=true"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            # Chunks of one byte, the empty lines of silence: five are more than the patience.
            for _ in range(5):
                await reader.readuntil(b"\r\n1\r\n\n\r\n")
            gate.open()
            assert b"build.completed" in await reader.readuntil(b"\r\n0\r\n\r\n")
            writer.close()
            await writer.wait_closed()
        gate.close()
