"""What a request may bring: little, since a body is read whole before anything is known of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

# Who asks for a build sends three words.
MAX_BODY_BYTES = 16 * 1024


class SmallBodyRoute(APIRoute):
    """A route that stops reading a body after :data:`MAX_BODY_BYTES`, and answers 413."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the limit before the reading."""
        answer = super().get_route_handler()

        async def limited(request: Request) -> Response:
            return await answer(Request(request.scope, _at_most(MAX_BODY_BYTES, request.receive)))

        return limited


def _at_most(limit: int, receive: Receive) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body may have {limit} bytes at most",
                headers={"Connection": "close"},  # the rest of it is not waited for
            )
        return message

    return counted
