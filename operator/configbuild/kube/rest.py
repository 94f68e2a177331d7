"""JSON requests to the API server, over the client library's connections and credentials.

The library's generated classes are left aside: to import the one for core/v1 takes 0.7 s and
24 MiB, and all of them read JSON with the standard library, which takes three times as long as
orjson for a page of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException

# Answers come in milliseconds; what takes longer is asked again rather than waited for.
_REQUEST_TIMEOUT_S = 30.0

FAILURES = (ApiException, aiohttp.ClientError, OSError, TimeoutError)
"""What a request can end with: an answer that says no, a cut connection, no answer in time."""


Asked = Callable[[str, str, int | None], None]
"""Who is told of each request: its method, the pattern of its path, the code of the answer."""


def tell_nobody(method: str, path: str, code: int | None) -> None:
    """Keep a request to oneself."""


class Rest:
    """Sends requests and reads their answers.

    ``path`` may name variables (``/api/v1/namespaces/{namespace}``), whose values are quoted. Each
    call raises one of :data:`FAILURES`; cancelling it closes its connection.
    """

    def __init__(self, configuration: Configuration, *, asked: Asked = tell_nobody) -> None:
        self._client = ApiClient(configuration)
        self._asked = asked

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

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
        headers = {"Accept": "application/json"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        request = await self._client.param_serialize(
            method=method,
            resource_path=path,
            path_params=dict(variables),
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._client.call_api(*request, _request_timeout=_REQUEST_TIMEOUT_S)
        except FAILURES as error:
            self._asked(method, path, getattr(error, "status", None))
            raise
        self._asked(method, path, answer.status)
        data: bytes = await answer.read()  # type: ignore[no-untyped-call]
        if not 200 <= answer.status <= 299:
            text = data.decode(errors="replace")
            raise ApiException.from_response(http_resp=answer, body=text, data=None)
        try:
            return orjson.loads(data)
        except ValueError as error:
            # Something that stands between here and the API server has answered.
            raise ApiException(status=answer.status, reason="without JSON") from error


def words_of(error: BaseException) -> str:
    """Say shortly what a request ended with."""
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__} {error}".strip()
