"""Downloads one file over https, to a limit, from admitted hosts only.

Redirects are followed here and not by the client, since each leads to another URL: every one is
checked like the first. The client connects to the addresses that were checked and asks no resolver
of its own, so an answer that changes in between (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from configbuild.errors import SourceError
from configbuild.sources.hosts import Admitted, HostRules

# A release page redirects once or twice: to another name, and from there to storage.
_MOST_REDIRECTS = 5

# Large enough that a thread per chunk costs nothing, small enough to hold.
_CHUNK_BYTES = 1 << 20

# Of silence, not in all: the build's own timeout bounds that.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "configbuild"}

_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What is to be downloaded; ``field`` is where its URL stands in the spec."""

    url: str
    field: str
    hosts: HostRules
    limit_bytes: int

    async def to(self, file: Path) -> str:
        """Write it to ``file`` and give its SHA-256 in hex.

        :class:`SourceError` says why it cannot be had; ``file`` may then hold a part of it.
        """
        url = self.url
        context = await asyncio.to_thread(ssl.create_default_context)
        for _ in range(_MOST_REDIRECTS + 1):
            admitted = await self.hosts.admit(url, self.field)
            try:
                async with _client(admitted, context) as client, _get(client, url) as answer:
                    if answer.status not in _REDIRECTS:
                        self._refuse_unless_found(answer)
                        return await self._receive(answer, file)
                    url = urljoin(url, answer.headers.get("Location", ""))
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise SourceError(
                    self.field, f"{admitted.url.authority} did not answer: {_words(error)}"
                ) from error
        raise SourceError(
            self.field,
            f"the server redirects more than {_MOST_REDIRECTS} times; name the URL that they"
            " lead to",
            reason="SourceNotFound",
            missing=True,
        )

    def _refuse_unless_found(self, answer: aiohttp.ClientResponse) -> None:
        status = answer.status
        if status == 200:
            return
        problem = f"{answer.url.host} answered {status}"
        if status in (401, 403):
            raise SourceError(self.field, problem, reason="SourceDenied", missing=True)
        if status == 429 or status >= 500:
            raise SourceError(self.field, problem)
        raise SourceError(self.field, problem, reason="SourceNotFound", missing=True)

    async def _receive(self, answer: aiohttp.ClientResponse, file: Path) -> str:
        seen = hashlib.sha256()
        size = 0
        with file.open("xb") as out:
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                size += len(chunk)
                if size > self.limit_bytes:
                    raise SourceError(
                        self.field,
                        f"larger than {self.limit_bytes} bytes (ADE_SOURCE_MAX_BYTES)",
                        reason="SourceInvalid",
                        missing=True,
                    )
                await asyncio.to_thread(_keep, chunk, out, seen)
        return seen.hexdigest()


def _keep(chunk: bytes, out: BinaryIO, seen: hashlib._Hash) -> None:
    out.write(chunk)
    seen.update(chunk)


def _client(admitted: Admitted, context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_Pinned(admitted), use_dns_cache=False, ssl=context, force_close=True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        timeout=_TIMEOUT,
        auto_decompress=False,
    )


def _get(client: aiohttp.ClientSession, url: str) -> aiohttp.client._RequestContextManager:
    # As it is written: a client that mends a URL may ask for another than was checked.
    return client.get(URL(url, encoded=True), allow_redirects=False)


class _Pinned(AbstractResolver):
    """Gives the admitted addresses of one host and knows no other."""

    def __init__(self, admitted: Admitted) -> None:
        self._admitted = admitted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See :class:`aiohttp.abc.AbstractResolver`."""
        del family  # that of the addresses, which were looked up already
        if host.lower().rstrip(".") != self._admitted.url.host:
            raise OSError(f"{host} was not admitted")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._admitted.addresses
        ]

    async def close(self) -> None:
        """See :class:`aiohttp.abc.AbstractResolver`: there is nothing to close."""


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    return f"{type(error).__name__} {error}".strip()
