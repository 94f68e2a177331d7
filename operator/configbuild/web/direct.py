"""The short way of a block to its client: to the connection, past the layers of ASGI.

With a hundred clients and a thousand lines a second those took most of the time: some coroutines,
dictionaries and a state machine for each client and block. A response that has begun may use this
beside ``send``, as long as no middleware changes bodies, which none of ours does.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.types import Scope

_KEY = "direct"


class Flow(Protocol):
    """Knows whether a connection has as much to send as it should."""

    write_paused: bool


class Direct:
    """A connection to which pieces of a body in chunks can be written (RFC 9112, 7.1)."""

    def __init__(self, transport: asyncio.Transport, flow: Flow) -> None:
        self._transport = transport
        self._flow = flow

    def write(self, piece: bytes) -> bool:
        """Write a piece, which is not empty, unless the client is slow or gone; whether it did."""
        if self._flow.write_paused or self._transport.is_closing():
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def state(self) -> dict[str, Direct]:
        """Give what a server is to add to the state of requests, for :func:`direct_of`."""
        return {_KEY: self}


def direct_of(scope: Scope) -> Direct | None:
    """Find the short way to the client of a request.

    ``None`` if the server has none, or the client speaks HTTP/1.0 and so knows no chunks.
    """
    found = scope.get("state", {}).get(_KEY)
    return found if isinstance(found, Direct) and scope["http_version"] == "1.1" else None
