"""JSON requests to an API server: what is sent, and what each kind of answer becomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from configbuild.kube.connection import Connection
from configbuild.kube.rest import (
    FAILURES,
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    Rest,
)

Answer = Callable[[web.Request], Awaitable[web.Response]]


def asked(answer: Answer, ask: Callable[[Rest], Awaitable[Any]], **options: Any) -> Any:
    """Ask a server that gives ``answer`` to everything."""

    async def main() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        async with TestServer(app) as server:
            server_url = str(server.make_url("")).rstrip("/")
            connection = Connection(kopf.ConnectionInfo(server=server_url, token="the-token"))
            rest = Rest(connection, **options)
            try:
                return await ask(rest)
            finally:
                await rest.close()

    return asyncio.run(main())


async def echo(request: web.Request) -> web.Response:
    """Answer with what was asked."""
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "token": request.headers.get("Authorization"),
            "type": request.headers.get("Content-Type"),
            "body": await request.json() if request.can_read_body else None,
        }
    )


def test_variables_of_a_path_are_quoted() -> None:
    answer = asked(
        echo,
        lambda rest: rest.get(
            "/namespaces/{namespace}/pods",
            {"namespace": "a/b?c"},
            {"labelSelector": "ade.dev/build-id", "limit": "5"},
        ),
    )

    path = "/namespaces/a%2Fb%3Fc/pods?labelSelector=ade.dev/build-id&limit=5"
    assert (answer["method"], answer["path"]) == ("GET", path)


def test_every_request_bears_the_token() -> None:
    answer = asked(echo, lambda rest: rest.get("/x", {}))

    assert answer["token"] == "Bearer the-token"


def test_object_is_posted_as_json() -> None:
    answer = asked(echo, lambda rest: rest.post("/x", {}, {"spec": {"n": 1}}))

    assert (answer["method"], answer["type"]) == ("POST", "application/json")
    assert answer["body"] == {"spec": {"n": 1}}


def test_patch_says_that_it_is_merged() -> None:
    answer = asked(echo, lambda rest: rest.merge_patch("/x", {}, {"status": {"step": None}}))

    assert (answer["method"], answer["type"]) == ("PATCH", "application/merge-patch+json")
    assert answer["body"] == {"status": {"step": None}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, ForbiddenError), (404, NotFoundError), (409, ConflictError), (503, ApiError)],
)
def test_answer_that_says_no_is_an_error_of_its_kind(status: int, kind: type[Exception]) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "no"}, status=status)

    with pytest.raises(kind) as caught:
        asked(refuse, lambda rest: rest.get("/x", {}))

    assert isinstance(caught.value, FAILURES)
    assert isinstance(caught.value, ApiError)
    assert (caught.value.status, caught.value.body) == (status, '{"message": "no"}')


def test_answer_without_json_is_a_failure() -> None:
    """As a proxy gives it that stands in front of the API server."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>log in</html>", content_type="text/html")

    with pytest.raises(FAILURES):
        asked(page, lambda rest: rest.get("/x", {}))


@pytest.mark.parametrize("status", [200, 404])
def test_time_of_each_answer_is_told_with_that_of_the_request(status: int) -> None:
    heard: list[tuple[str, float, float]] = []

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, status=status, headers={"Date": "the date"})

    async def ask(rest: Rest) -> None:
        with suppress(NotFoundError):
            await rest.get("/x", {})

    before = time.time()
    asked(answer, ask, heard=lambda *told: heard.append(told))

    ((date, asked_at, took_s),) = heard
    assert date == "the date"
    assert before <= asked_at <= asked_at + took_s <= time.time()
