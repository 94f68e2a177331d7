"""Tells of each client that a stream of events is sent to, when it comes and when it has gone."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configbuild.web.stream import MEDIA_TYPE


class CountedStreams:
    """Middleware: calls ``began`` with the first bytes of a stream, and ``ended`` after its end.

    What is no stream passes through. ``ended`` is called however a stream ends.
    """

    def __init__(
        self, app: ASGIApp, *, began: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._app = app
        self._began = began
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        streams = False

        async def counting(message: Message) -> None:
            nonlocal streams
            if message["type"] == "http.response.start" and _is_stream(message):
                streams = True
                self._began()
            await send(message)

        try:
            await self._app(scope, receive, counting)
        finally:
            if streams:
                self._ended()


def _is_stream(start: Message) -> bool:
    kinds = [value for name, value in start.get("headers", ()) if name.lower() == b"content-type"]
    return any(kind.startswith(MEDIA_TYPE.encode()) for kind in kinds)
