"""Health, metrics, the document of the API, and how it is served."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from configbuild.web.app import routed_app
from configbuild.web.openapi import openapi_json
from configbuild.web.server import serve
from tests.process.support import in_loop
from tests.web.support import site

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


@in_loop
async def test_ready_is_who_misses_nothing(tmp_path: Path) -> None:
    missing = ["watch of ConfigBuilds"]
    async with site(tmp_path, ready=lambda: missing) as here:
        assert (await here.http.get("/healthz")).json() == {"status": "ok"}
        answer = await here.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["reason"] == "NotReady"
        assert answer.json()["missing"] == ["watch of ConfigBuilds"]

        missing.clear()
        answer = await here.http.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "warnings": []})


@in_loop
async def test_ready_tells_what_there_is_to_warn_of_at_that_moment(tmp_path: Path) -> None:
    warnings = ["the clock is off"]
    async with site(tmp_path, warnings=lambda: warnings) as here:
        answer = await here.http.get("/readyz")
        assert (answer.status_code, answer.json()["warnings"]) == (200, ["the clock is off"])

        warnings.clear()
        assert (await here.http.get("/readyz")).json()["warnings"] == []


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text")],
)
@in_loop
async def test_metrics_are_told_in_the_format_asked_for(
    tmp_path: Path, accept: str, content_type: str
) -> None:
    registry = CollectorRegistry()
    Counter("builds", "Builds that ended.", registry=registry).inc(7)
    async with site(tmp_path, registry=registry) as here:
        answer = await here.http.get("/metrics", headers={"accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(content_type)
        assert "builds_total 7.0" in answer.text


@in_loop
async def test_document_and_its_page_are_served(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert (await here.http.get("/openapi.json")).json() == json.loads(openapi_json())
        assert "swagger" in (await here.http.get("/docs")).text


def test_document_is_checked_in() -> None:
    checked_in, now = json.loads(DOCUMENT.read_text(encoding="utf-8")), json.loads(openapi_json())
    # The version is that of the installed package; tests also run where none is installed.
    del checked_in["info"]["version"], now["info"]["version"]
    assert checked_in == now


def test_generators_can_use_the_document() -> None:
    document = routed_app().openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for name in references(document):
        assert name in document["components"]["schemas"]
    for operation in operations:
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"]
    build = document["components"]["schemas"]["Build"]
    assert set(build["required"]) == set(build["properties"])


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].removeprefix("#/components/schemas/")
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from references(part)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
@in_loop
async def test_only_loopback_is_served_without_authentication(host: str) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        await serve(routed_app(), host=host, port=0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1"),
        ("127.0.0.2", "http://127.0.0.2"),
        ("localhost", "http://127.0.0.1"),
        ("::1", "http://[::1]"),
    ],
)
@in_loop
async def test_real_port_is_told_and_signals_are_left_alone(
    tmp_path: Path, host: str, url: str
) -> None:
    # In CI a missing loopback is a failure, which binding to it will be.
    if host == "::1" and not has_ipv6() and os.environ.get("CI") != "true":
        pytest.skip("this machine has no IPv6 loopback")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with site(tmp_path, host=host) as here:
        assert here.url.rpartition(":")[0] == url
        assert int(here.url.rpartition(":")[2]) > 0
        assert (await here.http.get("/healthz")).status_code == 200
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@in_loop
async def test_address_that_is_taken_is_an_error(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with pytest.raises(OSError, match="in use"):
            await serve(here.app, host="127.0.0.1", port=int(here.url.rpartition(":")[2]))


@in_loop
async def test_server_that_is_cancelled_serves_no_more(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert (await here.http.get("/healthz")).status_code == 200
        here.server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await here.server
        with pytest.raises(httpx.ConnectError):
            await here.http.get("/healthz")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
