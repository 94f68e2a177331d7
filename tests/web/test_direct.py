"""Live lines take the short way to their client, and nobody can tell by what arrives."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from configbuild.model import BuildId
from configbuild.web.direct import Direct
from tests.process.support import in_loop
from tests.web.support import Lines, Site, site
from tests.web.test_streams import followed, running_at_the_gate


class Tap:
    """Notes what takes the short way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pieces: list[bytes] = []
        write = Direct.write

        def noting(direct: Direct, piece: bytes) -> bool:
            written = write(direct, piece)
            if written:
                self.pieces.append(piece)
            return written

        monkeypatch.setattr(Direct, "write", noting)


async def whole_answer(here: Site, path: str, *, version: str, begun: asyncio.Event) -> bytes:
    """Ask as a client of a version of HTTP, and read to the end of the connection."""
    port = int(here.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(
            f"GET {path} HTTP/{version}\r\nHost: here\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        answer += await reader.readuntil(b"build.created")
        begun.set()
        return (answer + await reader.read()).partition(b"\r\n\r\n")[2]


@in_loop
async def test_live_lines_go_straight_to_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = await running_at_the_gate(here)
            tap = Tap(monkeypatch)
            known = len(here.journal(build_id))
            async with here.http.stream("GET", followed(build_id)) as answer:
                lines = Lines(answer)
                await lines.until("résolving ade-config==2.1")
                gate.open()
                await here.builds.wait(BuildId(build_id))
                assert await lines.rest() == here.journal(build_id)
        assert tap.pieces
        assert b"".join(tap.pieces) in here.journal(build_id)[known:]


@in_loop
async def test_client_of_the_first_http_is_sent_no_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = await running_at_the_gate(here)
            tap = Tap(monkeypatch)
            begun = asyncio.Event()
            answer = asyncio.create_task(
                whole_answer(here, followed(build_id), version="1.0", begun=begun)
            )
            await begun.wait()
            gate.open()
            assert await answer == here.journal(build_id)
    assert not tap.pieces
