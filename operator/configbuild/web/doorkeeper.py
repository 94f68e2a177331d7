"""Stands before all routes: asks who comes, before anything of their request is read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from configbuild.callers import UnauthorizedError
from configbuild.errors import ClusterError
from configbuild.web.access import Caller
from configbuild.web.backend import Backend
from configbuild.web.problems import known_problem

# All that is answered to anybody: it tells whether the operator is well, and what can be asked. A
# route that is not named here wants a token, also one that is added later.
OPEN_PATHS = frozenset(
    {"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
)


class Doorkeeper:
    """ASGI middleware that has each request know its caller (``request.state.caller``).

    One that shows no good token is answered 401, and 503 while nobody can say whether it is good.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it in."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            try:
                scope.setdefault("state", {})["caller"] = await _admit(scope)
            except (UnauthorizedError, ClusterError) as error:
                answer = known_problem(Request(scope), error)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _admit(scope: Scope) -> Caller:
    backend = scope["app"].state.backend
    assert isinstance(backend, Backend)
    if backend.access is None:
        return Caller()
    return await backend.access.admit(Headers(scope=scope).get("authorization"))
