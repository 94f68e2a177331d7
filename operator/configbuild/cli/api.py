"""The operator's HTTP API, as a client sees it.

By the standard library alone: a few JSON requests and one stream do not outweigh another runtime
dependency, and ``http.client`` hands a stream on as it comes.
"""

from __future__ import annotations

import http
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol
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


class Credentials(Protocol):
    """What is shown to the server."""

    def token(self) -> str | None:
        """Give a bearer token; ``None`` if there is none to show."""

    def renew(self) -> bool:
        """Get another token, since this one was refused; tell whether there is one."""


class Trust(Protocol):
    """Which servers are the right one."""

    def context(self) -> ssl.SSLContext:
        """Make a context that verifies the server."""

    def renew(self) -> bool:
        """Look again whom to trust, since the server was none of those; tell whether it changed."""


class _NoCredentials:
    def token(self) -> str | None:
        return None

    def renew(self) -> bool:
        return False


class _MachineTrust:
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def renew(self) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A server, by its URL; a path in it stands before all others.

    ``timeout_s`` bounds each wait for the next bytes, not a whole answer.
    """

    server: str
    timeout_s: float = TIMEOUT_S
    credentials: Credentials = field(default_factory=_NoCredentials)
    trust: Trust = field(default_factory=_MachineTrust)

    def get(self, *path: str, query: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Fetch an object."""
        with self._request("GET", path, query=query) as response:
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
        if query:
            target = f"{target}?{urlencode(query)}"
        connection, response = self._answer(method, target, body)
        try:
            if response.status >= 400:
                raise _problem(response)
            yield response
        finally:
            connection.close()

    def _answer(
        self, method: str, target: str, body: Mapping[str, Any] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request; once more if that can mend a certificate or a token that is refused.

        Neither had any effect on the server: the first comes before the request, the second before
        it is looked at.
        """
        try:
            connection, response = self._send(method, target, body)
        except _DistrustedError:
            if not self.trust.renew():
                raise
            connection, response = self._send(method, target, body)
        if response.status == http.HTTPStatus.UNAUTHORIZED and self.credentials.renew():
            connection.close()
            return self._send(method, target, body)
        return connection, response

    def _send(
        self, method: str, target: str, body: Mapping[str, Any] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        headers = {**_HEADERS, **({} if body is None else _JSON), **self._authorization()}
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, target, body=content, headers=headers)
            return connection, connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise _DistrustedError(
                f"{self.server} is not to be trusted ({error.verify_message}); name its authority"
                " with --certificate-authority, or be one who may read the ConfigMap configbuild-ca"
                " in the operator's namespace"
            ) from error
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            raise UnreachableError(
                f"nobody answers at {self.server} ({error}); is the operator's port forwarded?"
            ) from error

    def _authorization(self) -> dict[str, str]:
        token = self.credentials.token()
        if token is None:
            return {}
        if not self.server.startswith("https://") and not _is_loopback(self.server):
            raise InputError(f"--server: {self.server} would show your token to the network")
        return {"Authorization": f"Bearer {token}"}

    def _connection(self) -> http.client.HTTPConnection:
        try:
            url = urlsplit(self.server)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise InputError(f"--server: {self.server}: {error}") from None
        if url.scheme not in ("http", "https") or not host:
            raise InputError(
                f"--server: {self.server!r} is no URL that begins with http:// or https://"
            )
        if url.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=self.timeout_s, context=self.trust.context()
            )
        return http.client.HTTPConnection(host, port, timeout=self.timeout_s)


class _DistrustedError(UnreachableError):
    """The server's certificate is of nobody whom the user trusts."""

    reason = "ServerNotTrusted"


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


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
