"""A real web server with TLS: files, redirects, and Git repositories by ``git http-backend``.

What stands below ``/private/`` wants a name and a password. Requests are kept, so that a test can
say what reached the server, with which credentials; ``on_request`` may look around meanwhile.
"""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.cluster.controlplane.certs import Authority, KeyPair

# Names that resolve nowhere, for resolvers of a test's own; RFC 2606 reserves them.
NAMES = ("localhost", "files.test", "git.test")

USERNAME = "robot"
PASSWORD = "p@ss:w/ord-4711"
CHALLENGE: dict[str, Any] = {"WWW-Authenticate": 'Basic realm="site"'}
AUTHORIZATION = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    authorization: str | None


@dataclass(slots=True, kw_only=True)
class Site:
    """The server, and what it serves: ``files`` and ``redirects`` by their path.

    ``headers`` go with every answer. ``protocols``: the versions of Git's
    protocol that it speaks besides the first.
    """

    root: Path
    ca: Path
    address: str
    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    on_request: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)
    protocols: set[str] = field(default_factory=lambda: {"version=2"})

    @property
    def authority(self) -> str:
        """What ``ADE_ALLOWED_HOSTS`` has to name."""
        return f"{self.address}:{self.port}"

    def url(self, path: str, host: str | None = None) -> str:
        return f"https://{host or self.address}:{self.port}{path}"

    @property
    def repositories(self) -> Path:
        """Where bare repositories lie: ``x.git`` here is ``/git/x.git`` and ``/private/x.git``."""
        return self.root / "repositories"


@contextmanager
def serving(directory: Path, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[Site]:
    """Serve on an address, with a certificate of an authority of its own (``site.ca``)."""
    directory.mkdir(parents=True, exist_ok=True)
    ca = directory / "ca.crt"
    pair = KeyPair(directory / "site.crt", directory / "site.key")
    Authority("site", ca).issue(pair, "site", hosts=NAMES, addresses=[address])
    site = Site(root=directory, ca=ca, address=address)
    site.repositories.mkdir()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with _Server((address, port), _handler(site)) as server:
        server.context = context
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the request's own thread: a handshake must not hold up the others.
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break off are what some tests are about."""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one branch an answer
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *args: object) -> None:
            """Nothing is said."""

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            authorization = self.headers["Authorization"]
            site.requests.append(
                Request(method=self.command, path=self.path, authorization=authorization)
            )
            site.on_request()
            if path in site.redirects:
                self._say(302, Location=site.redirects[path])
            elif path in site.statuses:
                self._say(site.statuses[path])
            elif path.startswith("/private/") and authorization != AUTHORIZATION:
                self._say(401, **CHALLENGE)
            elif path in site.files:
                kind = "text/html" if path.endswith("/") else "application/octet-stream"
                self._say(200, site.files[path], **{"Content-Type": kind})
            elif ".git/" in path:
                self._git(path)
            else:
                self._say(404)

        def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {
                **site.headers,
                **headers,
                "Content-Length": str(len(body)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _git(self, path: str) -> None:
            inside = unquote(path).split("/", 2)[2]
            protocol = self.headers["Git-Protocol"] or ""
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            ran = subprocess.run(
                ["git", "http-backend"],
                input=body,
                capture_output=True,
                check=False,  # what it has to say to the client, it says in its answer
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(site.repositories),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_CONFIG_NOSYSTEM": "1",
                    "GIT_CONFIG_GLOBAL": "/dev/null",
                    "PATH_INFO": f"/{inside}",
                    "QUERY_STRING": urlsplit(self.path).query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers["Content-Type"] or "",
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
                    **({"GIT_PROTOCOL": protocol} if protocol in site.protocols else {}),
                },
            )
            head, _, content = ran.stdout.partition(b"\r\n\r\n")
            headers = _parsed(head)
            status = int(headers.pop("Status", "200").split()[0])
            self._say(status, content, **headers)

    return Handler


def _parsed(head: bytes) -> dict[str, str]:
    message = Message()
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        message[name] = value
    return dict(message.items())
