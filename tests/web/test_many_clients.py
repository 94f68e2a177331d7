"""A thousand clients that connect, read a little and go, in every way in which a client can go.

They leave no task, file descriptor, object or memory behind, and the build does not notice.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

from uvicorn.protocols.http.h11_impl import H11Protocol

from configbuild.model import BuildId
from configbuild.web.stream import EventStream
from tests.bench.report import memory_mib
from tests.process.support import in_loop
from tests.web.support import Site, site
from tests.web.test_streams import AT_THE_GATE, followed, readers, until

CLIENTS = 1000
AT_ONCE = 100

# So much of a log that a client which leaves after its first bytes leaves in the middle of it:
# far more than all socket buffers take.
OUTPUT_BEFORE_THE_GATE = "seq -f %02000g 8000"  # 16 MB

# What the allocator may keep. One block of 64 KiB kept of each client would be 62 MiB.
FLAT_MIB = 24.0

FIRST_BYTES = 4096


def talkative(directory: Path) -> Path:
    """Make a stand-in for uv that writes much before it comes to the gate."""
    script = Path(__file__).with_name("uv.sh").read_text()
    says = f'echo "{AT_THE_GATE.replace("ade-config==2.1", "$last")}"'
    assert says in script
    uv = directory / "uv"
    uv.write_text(script.replace(says, f"{OUTPUT_BEFORE_THE_GATE}; {says}"))
    uv.chmod(0o755)
    return uv


class Client:
    """One connection that asks for a stream and has begun to get it."""

    def __init__(self, here: Site, path: str) -> None:
        self._address = ("127.0.0.1", int(here.url.rpartition(":")[2]))
        self._request = f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
        self._socket = socket.socket()
        self._socket.setblocking(False)

    async def read_a_little(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        await loop.sock_sendall(self._socket, self._request)
        assert (await loop.sock_recv(self._socket, FIRST_BYTES)).startswith(b"HTTP/1.1 200")

    async def close(self) -> None:
        """Go as a program does that ends in order."""
        self._socket.close()

    async def reset(self) -> None:
        """Go as a host does that was switched off and on: RST, what is under way is lost."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def half_close(self) -> None:
        """Say that nothing more will be asked, and wait for the server to end."""
        self._socket.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while await asyncio.get_running_loop().sock_recv(self._socket, 1 << 20):
                pass
        self._socket.close()


WAYS = (Client.close, Client.reset, Client.half_close)


def held() -> dict[str, int]:
    """Count what a client that has gone could have left."""
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return {
        "file descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only counted
        "tasks": len(asyncio.all_tasks()),
        "streams": sum(issubclass(kind, EventStream) for kind in kinds),
        "connections": sum(issubclass(kind, H11Protocol) for kind in kinds),
    }


async def come_and_go(here: Site, paths: list[str], clients: int) -> None:
    """Have so many clients come, ``AT_ONCE`` at a time, and leave in all ways in turn."""
    turns = itertools.cycle(itertools.product(WAYS, paths))

    async def one(leave: Callable[[Client], Awaitable[None]], path: str) -> None:
        client = Client(here, path)
        await client.read_a_little()
        await leave(client)

    for _ in range(clients // AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for leave, path in itertools.islice(turns, AT_ONCE):
                group.create_task(one(leave, path))


@in_loop
async def test_thousand_clients_that_drop_leave_nothing_behind(tmp_path: Path) -> None:
    async with site(tmp_path, uv=talkative(tmp_path)) as here:
        with closing(here.shut_gate()) as gate:
            build_id = str((await here.post()).json()["id"])
            await until(lambda: AT_THE_GATE.encode() in here.journal(build_id)[-FIRST_BYTES:])
            last = here.journal(build_id).count(b"\n")
            replay, live = followed(build_id), followed(build_id, last - 1)
            await come_and_go(here, [replay, live], AT_ONCE)  # what is made once is made now
            # One may be there of the test's own, kept alive for its next request.
            await until(lambda: held()["streams"] == 0 and held()["connections"] <= 1)
            before, memory = held(), memory_mib()

            await come_and_go(here, [replay, live], CLIENTS)

            await until(lambda: readers(here, build_id) == 1)
            await until(lambda: all(held()[kind] <= count for kind, count in before.items()))
            assert memory_mib() - memory < FLAT_MIB
            assert await here.status(build_id) == "building"
            gate.open()
            await here.builds.wait(BuildId(build_id))
            assert await here.status(build_id) == "active"
        assert await here.events(build_id) == here.journal(build_id)
