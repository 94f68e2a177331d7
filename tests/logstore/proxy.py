"""A proxy of TCP connections that cuts them where a test says; with TLS at its front, if wanted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# More than a handshake or a question has, and less than a part of a log.
_MUCH_BYTES = 4000


class Proxy:
    """Stands before a server, and passes everything on until it is told otherwise."""

    def __init__(self) -> None:
        self.port = 0
        self.cuts = 0
        self.answered_bytes = 0
        self._cut_send = False
        self._lose_answer = False
        self._was_sent_much = False
        self._skip = 0
        self._is_away = False
        self._open: set[asyncio.StreamWriter] = set()

    def cut_next_send(self) -> None:
        """Cut the connection on which much is sent next, in the middle of that."""
        self._cut_send = True

    def lose_next_answer(self, *, skip: int = 0) -> None:
        """Have the server do what is sent next, if it is much, and cut the connection then.

        ``skip``: answers to let pass before that.
        """
        self._lose_answer, self._was_sent_much, self._skip = True, False, skip

    def go_away(self) -> None:
        """Cut all connections, and those to come."""
        self._is_away = True
        for writer in self._open:
            writer.transport.abort()

    def come_back(self) -> None:
        self._is_away = False

    async def serve(self, port: int, down: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        if self._is_away:
            up.transport.abort()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        self._open |= {up, to_server}
        sending = asyncio.create_task(self._send(down, to_server))
        answering = asyncio.create_task(self._answer(from_server, up))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, answering):
                task.cancel()
            self._open -= {up, to_server}
            for writer in (up, to_server):
                writer.transport.abort()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while block := await reader.read(65536):
                is_much = len(block) > _MUCH_BYTES
                self._was_sent_much |= is_much
                if self._cut_send and is_much:
                    self._cut_send = False
                    self.cuts += 1
                    writer.write(block[: len(block) // 2])
                    await writer.drain()
                    return
                writer.write(block)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while block := await reader.read(65536):
                is_it = self._lose_answer and self._was_sent_much
                self._was_sent_much = False
                if is_it and self._skip:
                    self._skip -= 1
                elif is_it:
                    self._lose_answer = False
                    self.cuts += 1
                    return
                self.answered_bytes += len(block)
                writer.write(block)
                await writer.drain()


@asynccontextmanager
async def proxy_before(port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Stand before a server of this machine."""
    proxy = Proxy()
    connections: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(proxy.serve(port, reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    async with server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
        proxy.go_away()
    await asyncio.gather(*connections, return_exceptions=True)
