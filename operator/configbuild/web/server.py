"""Serves the application in an event loop that belongs to somebody else."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from configbuild.web.backend import Backend
from configbuild.web.direct import Direct

# What waits in the kernel for one slow reader: 0.4 MB in all with this, 3 to 4 MB without.
_SEND_BUFFER_BYTES = 64 * 1024

# A reader that takes nothing for so long is dropped, and resumes with after_id if it still lives.
# Long enough for a person who stops a terminal to read; the heartbeat makes it find dead peers too.
_STALLED_MS = 60_000

# A request is whole within this time of its connection, or of its first byte on one that is kept.
# It has at most 16 KiB of body and 64 KiB of headers, so the slowest line needs a few seconds; who
# asks the API server about a caller while the body comes takes part of it, too. Without a limit
# each client that says nothing would hold a file descriptor until it is dead.
REQUEST_TIMEOUT_S = 30.0

# Streams end by themselves when the server stops; this is for readers that take nothing.
_GRACE_S = 1

# The header Date tells seconds. uvicorn itself looks ten times as often, to see whether it is to
# end: 0.2 % of a core while nothing is to do. Here it is told.
_TICK_S = 1.0


class _Config(uvicorn.Config):
    """What uvicorn is told, and how long a request may take to come."""

    request_timeout_s = REQUEST_TIMEOUT_S


class _Connection(H11Protocol):
    """A connection that is closed if a request does not come whole in time, and offers `Direct`.

    Closed without an answer (RFC 9112, 9.5): who has asked for nothing is owed none. A connection
    that is kept and idle is uvicorn's to close, after 5 s; an answer may take as long as it will.
    """

    _timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, **Direct(transport, self.flow).state()}
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._expect_nothing()
        elif self._timeout is None:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        assert isinstance(self.config, _Config)
        self._timeout = self.loop.call_later(self.config.request_timeout_s, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to us and tells when it begins and stops."""

    def __init__(
        self, config: uvicorn.Config, *, started: Callable[[], None], stopping: asyncio.Event
    ) -> None:
        super().__init__(config)
        self._on_started = started
        self._stopping = stopping
        self._told_to_end = asyncio.Event()

    def end(self) -> None:
        """Have it stop: :meth:`serve` returns once it has."""
        self.should_exit = True
        self._told_to_end.set()

    async def main_loop(self) -> None:
        """Keep the time until told to end, or until uvicorn wants to."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._told_to_end.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing: the operator has its own handlers."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)


async def serve(
    app: FastAPI,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
    on_started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until cancelled; then streams are ended, and the rest has a second.

    A connection on which a request is not whole after ``request_timeout_s`` is closed.
    ``on_started`` gets the base URL, with the real port where ``port`` is 0. ``ValueError`` for a
    host that is not loopback if there is no ``tls`` or nobody is asked who they are; ``OSError`` if
    the address cannot be had.
    """
    backend = getattr(app.state, "backend", None)
    if not is_loopback(host) and (tls is None or backend is None or backend.access is None):
        raise ValueError(
            f"ADE_HTTP_HOST: {host!r} is not a loopback address; without TLS, and without asking"
            " callers who they are, only this machine is served: use 127.0.0.1, ::1 or localhost"
        )
    with _listener(host, port) as listener:
        assert isinstance(backend, Backend)
        config = _Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_context_factory=(lambda *_: tls) if tls is not None else None,
        )
        config.request_timeout_s = request_timeout_s
        server = _Server(
            config,
            started=lambda: on_started(_url(listener, "http" if tls is None else "https")),
            stopping=backend.stopping,
        )
        serving = asyncio.create_task(server.serve([listener]), name="http")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.end()
            await serving
            raise


def _listener(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY only on sockets that say they are TCP, and
    # without it each answer on a connection that is kept alive waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit both.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        listener.bind((address, port))
    except BaseException:
        listener.close()
        raise
    return listener


def is_loopback(host: str) -> bool:
    """Tell whether an address, or the name localhost, is reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _url(listener: socket.socket, scheme: str) -> str:
    address, port = listener.getsockname()[:2]
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"
