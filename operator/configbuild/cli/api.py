"""The operator's HTTP API, as a client sees it.

By the standard library alone: a few JSON requests and one stream do not outweigh another runtime
dependency, and ``http.client`` hands a stream on as it comes.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from configbuild.cli.documents import InputError
from configbuild.errors import ConfigBuildError

# The server answers a waiting request after 30 s, and sends an empty line after 15 s of silence:
# what says nothing for so long is gone.
TIMEOUT_S = 60.0

_BLOCK_BYTES = 64 * 1024

_HEADERS = {"Connection": "close"}  # each is used once
_JSON = {"Content-Type": "application/json"}


class UnreachableError(ConfigBuildError):
    """Nobody answers at the server's address, or what answers cannot do so now."""

    reason = "ServerUnreachable"
    exit_code = 3


class CutError(ConfigBuildError):
    """A stream broke off; what came before is whole."""

    reason = "StreamCut"
    exit_code = 3


class RefusedError(InputError):
    """The server answered that the request cannot be met (RFC 9457, problem details)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A server, by its URL; a path in it stands before all others (``kubectl proxy``)."""

    server: str

    def get(self, *path: str) -> dict[str, Any]:
        """Fetch an object."""
        with self._request("GET", path) as response:
            return _json(response)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Have something done."""
        with self._request("POST", path, body=body) as response:
            return _json(response)

    def stream(
        self,
        *path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Iterator[bytes]:
        """Yield a stream's bytes as they come; with a ``body`` by POST.

        :class:`UnreachableError` and :class:`RefusedError` come before the first bytes only,
        :class:`CutError` after.
        """
        method = "GET" if body is None else "POST"
        with self._request(method, path, query=query, body=body) as response:
            try:
                while block := response.read1(_BLOCK_BYTES):
                    yield block
            except (http.client.HTTPException, OSError) as error:
                raise CutError(f"the connection to {self.server} broke off: {error}") from error

    @contextmanager
    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        url = urlsplit(self.server)
        target = "/".join([url.path.rstrip("/"), "api/v1", *(quote(part, "") for part in path)])
        connection = _connection(self.server)
        try:
            try:
                connection.request(
                    method,
                    f"{target}?{urlencode(query)}" if query else target,
                    body=None if body is None else json.dumps(body),
                    headers=_HEADERS if body is None else {**_HEADERS, **_JSON},
                )
                response = connection.getresponse()
            except (http.client.HTTPException, OSError) as error:
                raise UnreachableError(
                    f"nobody answers at {self.server} ({error}); is the operator's port forwarded?"
                ) from error
            if response.status >= 400:
                raise _problem(response)
            yield response
        finally:
            connection.close()


def _connection(server: str) -> http.client.HTTPConnection:
    try:
        url = urlsplit(server)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise InputError(f"--server: {server}: {error}") from None
    if url.scheme not in ("http", "https") or not host:
        raise InputError(f"--server: {server!r} is no URL that begins with http:// or https://")
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _json(response: http.client.HTTPResponse) -> dict[str, Any]:
    try:
        content = json.loads(response.read())
    except (ValueError, http.client.HTTPException, OSError) as error:
        raise UnreachableError(f"the answer cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UnreachableError("the answer is no object; is this the operator's API?")
    return content


def _problem(response: http.client.HTTPResponse) -> ConfigBuildError:
    status = f"{response.status} {response.reason}"
    try:
        problem = json.loads(response.read())
        detail, reason = str(problem["detail"]), str(problem["reason"])
    except (ValueError, KeyError, TypeError, http.client.HTTPException, OSError):
        detail, reason = f"the server answered {status}", "ServerUnreachable"
    if response.status >= 500:
        return UnreachableError(detail, reason=reason)
    return RefusedError(detail, reason=reason)
