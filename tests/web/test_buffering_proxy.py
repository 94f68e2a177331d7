"""A proxy that buffers, as Ingress controllers do: nginx with what it does unless told otherwise.

``proxy_buffering`` is on, and gzip for everything. What keeps a line from waiting there are the
headers of the answer alone. nginx listens on a socket in the file system: no port to find.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from tests.process.support import in_loop
from tests.waits import PATIENCE_S
from tests.web.support import BUILDS, Lines, Site, site
from tests.web.test_streams import AT_THE_GATE, followed, readers, running_at_the_gate, until

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

# In CI a missing nginx is a failure: .ci/run installs it.
pytestmark = pytest.mark.skipif(
    NGINX is None and os.environ.get("CI") != "true",
    reason="there is no nginx (Debian: apt install nginx-light)",
)

# A line that is not held back comes within milliseconds.
HELD_BACK_S = 0.5

DEFAULTS = ""  # HTTP/1.0 to the operator, one connection for each request
KEEP_ALIVE = """
      proxy_http_version 1.1;
      proxy_set_header Connection "";
"""

CONFIGURATION = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  gzip on;
  gzip_types *;
  gzip_proxied any;
  gzip_min_length 0;
  upstream operator {{
    server {operator};
    keepalive 4;
  }}
  server {{
    listen unix:{socket};
    location / {{
      proxy_pass http://operator;
      {more}
    }}
  }}
}}
"""


class Decoded(Lines):
    """Reads the lines of a stream that a proxy may have compressed."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(answer)
        self._blocks = answer.aiter_bytes()


@asynccontextmanager
async def behind_nginx(here: Site, more: str = DEFAULTS) -> AsyncIterator[httpx.AsyncClient]:
    """Put nginx in front of a site; gives a client that reaches the site through it."""
    assert NGINX, "there is no nginx: .ci/run has to install it"
    directory = here.directory / "nginx"
    directory.mkdir()
    socket, configuration = directory / "socket", directory / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            directory=directory,
            operator=here.url.removeprefix("http://"),
            socket=socket,
            more=more,
        )
    )
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(directory), "-c", str(configuration), "-e", "stderr"
    )
    try:
        await until(lambda: socket.exists() or process.returncode is not None)
        assert process.returncode is None
        async with httpx.AsyncClient(
            base_url="http://operator",
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            timeout=PATIENCE_S,
        ) as http:
            yield http
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("more", [DEFAULTS, KEEP_ALIVE], ids=["defaults", "keep-alive"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@in_loop
async def test_line_comes_through_a_proxy_before_the_build_goes_on(
    tmp_path: Path, encoding: str, more: str
) -> None:
    async with site(tmp_path) as here, behind_nginx(here, more) as proxied:
        with closing(here.shut_gate()) as gate:
            headers = {"Accept-Encoding": encoding}
            async with proxied.stream(
                "POST", BUILDS, json={"stream": True}, headers=headers
            ) as answer:
                assert answer.headers.get("content-encoding", "identity") == encoding
                lines = Decoded(answer)
                build_id = (await lines.until(AT_THE_GATE))["build_id"]
                assert await here.status(build_id) == "building"
                gate.open()
                assert await lines.rest() == here.journal(build_id)


@in_loop
async def test_proxy_holds_back_a_stream_without_our_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same build is not seen until its end."""
    monkeypatch.setattr("configbuild.web.stream._HEADERS", {})
    async with site(tmp_path) as here, behind_nginx(here) as proxied:
        with closing(here.shut_gate()) as gate:
            build_id = await running_at_the_gate(here)
            first = asyncio.create_task(first_line(proxied, followed(build_id)))
            await until(lambda: readers(here, build_id) == 2)
            await asyncio.wait([first], timeout=HELD_BACK_S)
            assert not first.done()
            gate.open()
            assert await first == here.journal(build_id).splitlines()[0]


async def first_line(proxied: httpx.AsyncClient, path: str) -> bytes:
    async with proxied.stream("GET", path) as answer:
        return await Decoded(answer).line()


@in_loop
async def test_connections_to_the_operator_are_used_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here, behind_nginx(here, KEEP_ALIVE) as proxied:
        build_id = (await here.build())["id"]
        peers: set[int] = set()
        for _ in range(5):
            answers = [
                await proxied.get(f"/api/v1/builds/{build_id}"),
                await proxied.get(f"/api/v1/builds/{build_id}/logs"),
                await proxied.get(followed(build_id)),
                await proxied.get("/nothing"),
                await proxied.post(BUILDS, json={"stream": True}),
            ]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200]
            peers |= peers_of(here)
        assert len(peers) == 2  # nginx's connection, and that of the test's own client


def peers_of(here: Site) -> set[int]:
    """Find the ports from which connections to a site come; see proc(5), /proc/net/tcp."""
    port = int(here.url.rpartition(":")[2])
    established = "01"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(remote.rpartition(":")[2], 16)
        for _, local, remote, state, *_ in rows
        if int(local.rpartition(":")[2], 16) == port and state == established
    }
