"""Passes lines on to many, with nothing but asyncio: the baseline of ``bench_live``.

``python -m tests.bench.fan_out COMMAND COUNT``: serves until ``COUNT`` clients are there and its
input has a line; then runs a shell command and writes what each read gives to all of them at once:
no journal, no cursor, no limit, and as much HTTP as its clients want to see.
"""

from __future__ import annotations

import asyncio
import sys

_READ_BYTES = 64 * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Frame a piece of a body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def main(command: str, count: int) -> None:
    """Serve, run, pass on."""
    clients: list[asyncio.StreamWriter] = []
    complete = asyncio.Event()

    async def greet(_: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        client.write(_HEAD + chunk(b'{"type":"build.created"}\n'))
        clients.append(client)
        if len(clients) == count:
            complete.set()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await complete.wait()
    await asyncio.to_thread(sys.stdin.readline)
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    pending = b""
    while data := await process.stdout.read(_READ_BYTES):
        lines = (pending + data).split(b"\n")
        pending = lines.pop()
        if lines:
            piece = chunk(b"".join(b'{"message":"%b"}\n' % line for line in lines))
            for client in clients:
                client.write(piece)
    for client in clients:
        client.write(b"0\r\n\r\n")
        client.close()
        await client.wait_closed()
    await process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
