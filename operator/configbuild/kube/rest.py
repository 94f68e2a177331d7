"""JSON requests to the API server, and the errors that its answers are.

The official client library is left aside: it takes 170 ms and 8 MB of each start, and 36 MB of the
image, for what is a handful of requests (docs/decisions/0030).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from configbuild.kube.connection import Connection
from configbuild.kubeconfig import KubeconfigError
from configbuild.version import operator_version

# Answers come in milliseconds; what takes longer is asked again rather than waited for.
_REQUEST_TIMEOUT_S = 30.0


class ApiError(Exception):
    """An answer of the API server that says no, or is none of its own.

    ``body`` is what it said: mostly an object of kind Status, as JSON.
    """

    def __init__(self, status: int, reason: str = "", body: str = "") -> None:
        super().__init__(f"{status} {reason}".rstrip())
        self.status = status
        self.reason = reason
        self.body = body


class ForbiddenError(ApiError):
    """403: a right is missing."""


class NotFoundError(ApiError):
    """404: the object is not there, or its kind is unknown."""


class ConflictError(ApiError):
    """409: there is one already, or another version of it."""


_KINDS = {403: ForbiddenError, 404: NotFoundError, 409: ConflictError}

FAILURES = (ApiError, KubeconfigError, aiohttp.ClientError, OSError, TimeoutError)
"""What a request can end with: an answer that says no, credentials that cannot be renewed, a cut
connection, no answer in time."""


Asked = Callable[[str, str, int | None], None]
"""Who is told of each request: its method, the pattern of its path, the code of the answer."""


def tell_nobody(method: str, path: str, code: int | None) -> None:
    """Keep a request to oneself."""


Heard = Callable[[str, float, float], None]
"""Who is told what time it is for the API server: an answer's ``Date``, the local clock when it was
asked for (seconds since the epoch), and how many seconds later it began."""


def hear_nothing(date: str, asked_at: float, took_s: float) -> None:
    """Leave the time alone."""


class Rest:
    """Sends requests and reads their answers.

    ``path`` may name variables (``/api/v1/namespaces/{namespace}``), whose values are quoted. Each
    call raises one of :data:`FAILURES`; cancelling it closes its connection.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        asked: Asked = tell_nobody,
        heard: Heard = hear_nothing,
    ) -> None:
        info = connection.info
        self._connection = connection
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=info.as_ssl_context()),
            headers={
                "Accept": "application/json",
                "User-Agent": f"configbuild-operator/{operator_version()}",
            },
            proxy=info.proxy_url,
            timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S),
        )
        self._asked = asked
        self._heard = heard

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(
        self, path: str, variables: Mapping[str, str], query: Mapping[str, str] | None = None
    ) -> Any:
        """Read an object or a list."""
        return await self._ask("GET", path, variables, query or {})

    async def post(
        self,
        path: str,
        variables: Mapping[str, str],
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """Create an object."""
        return await self._ask("POST", path, variables, query or {}, body, "application/json")

    async def merge_patch(
        self,
        path: str,
        variables: Mapping[str, str],
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """Merge ``body`` into an object (RFC 7386)."""
        content_type = "application/merge-patch+json"
        return await self._ask("PATCH", path, variables, query or {}, body, content_type)

    async def delete(self, path: str, variables: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        """Delete an object; ``body`` are its DeleteOptions."""
        return await self._ask("DELETE", path, variables, {}, body, "application/json")

    async def _ask(
        self,
        method: str,
        path: str,
        variables: Mapping[str, str],
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> Any:
        quoted = {name: quote(value, safe="") for name, value in variables.items()}
        try:
            headers = await self._connection.headers()
            if content_type is not None:
                headers["Content-Type"] = content_type
            asked_at, began = time.time(), time.monotonic()
            async with self._session.request(
                method,
                URL(self._connection.info.server + path.format(**quoted), encoded=True),
                params=query,
                data=None if body is None else orjson.dumps(body),
                headers=headers,
            ) as answer:
                took_s = time.monotonic() - began
                data = await answer.read()
        except FAILURES:
            self._asked(method, path, None)
            raise
        self._asked(method, path, answer.status)
        self._heard(answer.headers.get("Date", ""), asked_at, took_s)
        reason = answer.reason or ""
        if not answer.ok:
            kind = _KINDS.get(answer.status, ApiError)
            raise kind(answer.status, reason, data.decode(errors="replace"))
        try:
            return orjson.loads(data)
        except ValueError as error:
            # Something that stands between here and the API server has answered.
            raise ApiError(answer.status, "without JSON") from error


def words_of(error: BaseException) -> str:
    """Say shortly what a request ended with."""
    if isinstance(error, ApiError):
        return str(error)
    return f"{type(error).__name__} {error}".strip()
