"""A proxy that cuts streams of events: as networks, proxies with a time limit, and restarts do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import NamedTuple


class Cut(Enum):
    """How a connection ends."""

    RESET = auto()
    # Without a length and without chunks (HTTP/1.0) an end in the middle looks like any other.
    LOOKS_LIKE_AN_END = auto()


class Cutting(NamedTuple):
    """After how many bytes of its answer a stream is cut, and how."""

    after_bytes: int
    how: Cut


@asynccontextmanager
async def cutting_proxy(
    url: str, cuts: Sequence[Cutting]
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Stand before a server, and cut its first streams of events, one after the other.

    Gives the proxy's URL, and the list of first lines of the requests for events so far.
    """
    host, port = url.removeprefix("http://").rsplit(":", 1)
    asked: list[bytes] = []

    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readline()
        cutting = None
        if b"/events" in request:
            cutting = cuts[len(asked)] if len(asked) < len(cuts) else None
            asked.append(request)
        if cutting and cutting.how is Cut.LOOKS_LIKE_AN_END:
            request = request.replace(b"HTTP/1.1", b"HTTP/1.0")
        upstream, to_upstream = await asyncio.open_connection(host, int(port))
        to_upstream.write(request)
        asking = asyncio.create_task(_pass_on(reader, to_upstream))
        try:
            await _pass_on(upstream, writer, cutting.after_bytes if cutting else None)
            if cutting and cutting.how is Cut.RESET:
                writer.transport.abort()
        finally:
            asking.cancel()
            for end in (writer, to_upstream):
                end.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with server:
        address, own_port = server.sockets[0].getsockname()
        yield f"http://{address}:{own_port}", asked
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None = None
) -> None:
    passed = 0
    with suppress(ConnectionError):
        while limit is None or passed < limit:
            block = await reader.read(65536 if limit is None else limit - passed)
            if not block:
                return
            passed += len(block)
            writer.write(block)
            await writer.drain()
