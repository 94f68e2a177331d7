"""How the server's connections behave below HTTP."""

from __future__ import annotations

import socket

import pytest

from configbuild.web import server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_are_known_as_tcp_so_that_nothing_waits_to_be_sent(host: str) -> None:
    with server._listener(host, 0) as listener:
        # What asyncio looks at before it sets TCP_NODELAY on an accepted connection.
        assert listener.proto == socket.IPPROTO_TCP
