"""As much of HTTP/1.1 as a client needs that must not be what limits a benchmark (RFC 9112)."""

from __future__ import annotations

import socket

# For what takes milliseconds, on a machine that does something else as well.
PATIENCE_S = 120.0

RECEIVE_BYTES = 1 << 20

# Nothing that is sent as NDJSON could be taken for it.
LAST_CHUNK = b"0\r\n\r\n"


def request(path: str) -> bytes:
    """Write a request for one answer."""
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


def dechunked(answer: bytes | bytearray | memoryview) -> bytes:
    """Give the body of a whole answer with ``Transfer-Encoding: chunked``."""
    data = bytes(answer)
    head, _, _ = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert b"transfer-encoding: chunked" in head.lower(), head
    position = len(head) + 4
    pieces: list[bytes] = []
    while True:
        line_end = data.index(b"\r\n", position)
        size = int(data[position:line_end], 16)
        if not size:
            assert data[line_end:] == b"\r\n\r\n", "something follows the answer"
            return b"".join(pieces)
        pieces.append(data[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2


class Answer:
    """An answer on its way, read into memory that is there already: as fast as a reader can be."""

    def __init__(self, port: int, sent: bytes, capacity: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(PATIENCE_S)
        self._data = memoryview(bytearray(capacity))
        self._data[:] = bytes(capacity)  # touched: pages are not to be had meanwhile
        self._size = 0
        self._sent = sent

    def read(self, *, to: bytes | None = None) -> memoryview:
        """Ask, and read until what came ends with ``to``, or to the end of the connection."""
        with self._socket:
            self._socket.sendall(self._sent)
            while count := self._socket.recv_into(self._data[self._size :]):
                self._size += count
                if to and self._data[: self._size][-len(to) :] == to:
                    break
        return self._data[: self._size]
