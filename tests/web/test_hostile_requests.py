"""Requests that nobody would write by hand: no crash, no hang, and every refusal says what for.

Most are made by schemathesis from the OpenAPI document. The service behind the server is real, and
so are the builds that the valid ones among these requests start.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import jsonschema
import pytest
import requests
import schemathesis
from hypothesis import strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from configbuild.web.bodies import MAX_BODY_BYTES
from tests.process.support import in_loop
from tests.web.support import BUILDS, INVOICES, Site, site

OPENAPI = Path(__file__).parents[2] / "docs" / "openapi.json"

# Of each kind and operation. Most take some milliseconds, a new build half a second.
EXAMPLES = 15

# Far above what an answer may take: a request that waits for a build waits ENSURE_WAIT_S at most.
ENSURE_WAIT_S = 2.0
HANG_S = 30.0


def _without_security(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out who may call: this server asks nobody. tests/web and tests/cluster have that."""
    document["components"].pop("securitySchemes", None)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    return document


def _operations() -> Iterator[APIOperation[Any, Any, Any, Any]]:
    for found in SCHEMA.get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


SCHEMA = schemathesis.openapi.from_dict(_without_security(json.loads(OPENAPI.read_text())))
OPERATIONS = {found.label: found for found in _operations()}
PROBLEM = json.loads(OPENAPI.read_text())["components"]["schemas"]["Problem"]
INVALID_PART = json.loads(OPENAPI.read_text())["components"]["schemas"]["InvalidPart"]

JSON = {"content-type": "application/json"}

NO_HTTP = {
    "words": b"nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "NUL": b"GET /\0 HTTP/1.1\r\nHost: here\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n",
}

# What the former service had is refused in every form, valid or not.
REFUSES_ALL: list[Any] = [CHECKS.get_one("positive_data_acceptance")]


class Target(NamedTuple):
    """A server, and a build that it knows."""

    url: str
    build_id: str
    session: requests.Session


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Serve in a thread: schemathesis waits for its answers where it asks."""
    begun: Future[tuple[str, str, Callable[[], Any]]] = Future()

    async def serve() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        directory = tmp_path_factory.mktemp("hostile")
        async with site(directory, ensure_wait_s=ENSURE_WAIT_S) as here:
            build_id = (await here.post()).json()["id"]
            # To its end: a machine with much to do may take longer for it than ENSURE_WAIT_S.
            assert b"build.completed" in await here.events(build_id, follow="true")
            end = partial(loop.call_soon_threadsafe, over.set)
            begun.set_result((here.url, build_id, end))
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if begun.done():
                raise
            begun.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    url, build_id, finish = begun.result(HANG_S)
    with requests.Session() as session:
        session.trust_env = False
        yield Target(url, build_id, session)
    finish()
    thread.join(HANG_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_case_of_the_schema_is_answered_or_refused_by_name(
    target: Target, label: str
) -> None:
    operation = OPERATIONS[label]
    cases = list(
        SCHEMA.iter_coverage_cases(
            operation,
            generation_modes=list(GenerationMode),
            generation_config=SCHEMA.config.generation,
        )
    )
    assert cases
    for case in cases:
        _ask(target, case)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize("label", OPERATIONS)
def test_any_request_is_answered_or_refused_by_name(
    target: Target, label: str, mode: GenerationMode
) -> None:
    @hypothesis.settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=EXAMPLES,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=OPERATIONS[label].as_strategy(mode), known=strategies.booleans())
    def ask(case: Case[Any], known: bool) -> None:
        if known:
            _aim(case, target)
        _ask(target, case)

    with suppress(Unsatisfiable):  # where nothing can be wrong there is no negative case
        ask()


@in_loop
async def test_body_is_not_read_beyond_what_a_request_can_need(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        padding = b" " * (MAX_BODY_BYTES - 2)
        too_large = padding + b" {}"
        for body in (too_large, _in_pieces(too_large)):
            answer = await here.http.post(BUILDS, content=body, headers=JSON)
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["reason"] == "ContentTooLarge"
            assert answer.headers["connection"] == "close"
        assert here.builds.state(INVOICES) is None
        answer = await here.http.post(BUILDS, content=padding + b"{}", headers=JSON)
        assert answer.status_code == 201


@in_loop
async def test_all_methods_of_a_path_are_named_where_another_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.http.delete(BUILDS)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
        assert "GET, POST" in answer.json()["detail"]


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
@in_loop
async def test_what_is_no_http_is_refused_and_the_connection_closed(
    tmp_path: Path, sent: bytes
) -> None:
    async with site(tmp_path) as here:
        reader, writer = await asyncio.open_connection(*_address(here))
        writer.write(sent)
        async with asyncio.timeout(HANG_S):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()
        assert (await here.http.get("/healthz")).status_code == 200


@in_loop
async def test_request_that_is_broken_off_asks_for_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        reader, writer = await asyncio.open_connection(*_address(here))
        writer.write(f"POST {BUILDS} HTTP/1.1\r\nHost: here\r\nContent-Length: 50\r\n".encode())
        writer.write(b'Content-Type: application/json\r\n\r\n{"stream"')
        writer.write_eof()
        async with asyncio.timeout(HANG_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert (await here.http.get(BUILDS)).status_code == 404
        assert here.builds.state(INVOICES) is None


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Send without saying beforehand how much it is."""
    for begin in range(0, len(body), 1000):
        yield body[begin : begin + 1000]


def _address(here: Site) -> tuple[str, int]:
    host, _, port = here.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def _aim(case: Case[Any], target: Target) -> None:
    """Have a case ask for what there is; drawn at random, an id is always unknown."""
    there_is = {
        "build_id": target.build_id,
        "workspace_id": INVOICES.namespace,
        "config_id": INVOICES.name,
    }
    for name in case.path_parameters.keys() & there_is.keys():
        case.path_parameters[name] = there_is[name]


def _ask(target: Target, case: Case[Any]) -> None:
    answer = case.call(base_url=target.url, session=target.session, timeout=HANG_S)
    gone = answer.status_code == 410
    case.validate_response(answer, excluded_checks=REFUSES_ALL if gone else [])
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == ["application/problem+json"], answer.headers
        _check_problem(answer.json(), answer.status_code)


def _check_problem(problem: dict[str, Any], status: int) -> None:
    document = {**PROBLEM, "components": {"schemas": {"InvalidPart": INVALID_PART}}}
    jsonschema.validate(problem, document)
    assert problem["status"] == status
    if status == 422:
        assert problem["errors"]
        for part in problem["errors"]:
            assert part["location"] in {"path", "query", "body"}
            assert part["field"]
            assert part["message"]
            assert f"{part['field']}: {part['message']}" in problem["detail"]
