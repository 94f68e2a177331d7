"""What is said when something is wrong with a request, or with us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configbuild.model import ConfigKey
from tests.process.support import in_loop
from tests.web.support import BUILDS, site

KEY = ConfigKey("team-a", "invoices")

BUILD = "/api/v1/builds/build_01JD9V0Q6BX7ZQ4V7E3MPK2T5C"
FORMER = "/api/v1/workspaces/team-a/configurations/01HXYZ/build"


# method, path, body; where and what is wrong
INVALID = [
    ("POST", BUILDS, '{"stream": "yes"}', "body", "stream"),
    ("POST", BUILDS, '{"stream": 1}', "body", "stream"),
    ("POST", BUILDS, '{"options": {"force": "true"}}', "body", "options.force"),
    ("POST", BUILDS, '{"options": {"wait": null}}', "body", "options.wait"),
    ("POST", BUILDS, '{"options": {"forse": true}}', "body", "options.forse"),
    ("POST", BUILDS, '{"options": []}', "body", "options"),
    ("POST", BUILDS, '{"build": true}', "body", "build"),
    ("POST", BUILDS, "[]", "body", "body"),
    ("POST", BUILDS, '"stream"', "body", "body"),
    ("POST", BUILDS, '{"stream": true', "body", "body"),
    ("POST", BUILDS.replace("team-a", "Team_A"), "{}", "path", "workspace_id"),
    ("POST", BUILDS.replace("invoices", "x" * 64), "{}", "path", "config_id"),
    ("GET", BUILDS.replace("invoices", "-invoices"), None, "path", "config_id"),
    ("GET", f"{BUILD}/logs?limit=0", None, "query", "limit"),
    ("GET", f"{BUILD}/logs?limit=1001", None, "query", "limit"),
    ("GET", f"{BUILD}/logs?after_id=-1", None, "query", "after_id"),
    ("GET", f"{BUILD}/logs?after_id=many", None, "query", "after_id"),
    ("GET", f"{BUILD}/events?after_id=1.5", None, "query", "after_id"),
    ("GET", f"{BUILD}/events?after_id={10**30}", None, "query", "after_id"),
    ("GET", f"{BUILD}/events?follow=perhaps", None, "query", "follow"),
]


@in_loop
async def test_invalid_request_is_told_which_field_is_wrong(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for method, path, body, location, field in INVALID:
            answer = await here.http.request(
                method,
                path,
                content=body,
                headers={"content-type": "application/json"} if body is not None else None,
            )
            problem = problem_of(answer, 422, "InvalidRequest", "invalid-request")
            errors = [(error["location"], error["field"]) for error in problem["errors"]]
            assert errors == [(location, field)], (method, path, body)
            assert problem["detail"].startswith(f"{field}: ")
        assert here.builds.state(KEY) is None


@in_loop
async def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.http.get(f"{BUILD}/logs?limit=0&after_id=x")
        problem = problem_of(answer, 422, "InvalidRequest", "invalid-request")
        assert {error["field"] for error in problem["errors"]} == {"limit", "after_id"}


@pytest.mark.parametrize("body", [b"\xff\xfe", b"\xff" * 9, b"[" * 10_000])
@in_loop
async def test_body_that_cannot_be_read_is_invalid_too(tmp_path: Path, body: bytes) -> None:
    async with site(tmp_path) as here:
        answer = await here.http.post(
            BUILDS, content=body, headers={"content-type": "application/json"}
        )
        problem = problem_of(answer, 422, "InvalidRequest", "invalid-request")
        assert [error["field"] for error in problem["errors"]] == ["body"]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
@in_loop
async def test_body_of_another_kind_is_refused_and_the_right_kind_named(
    tmp_path: Path, content_type: str | None
) -> None:
    async with site(tmp_path) as here:
        headers = {"content-type": content_type} if content_type else {}
        answer = await here.http.post(BUILDS, content=b'{"stream": true}', headers=headers)
        problem = problem_of(answer, 415, "UnsupportedMediaType", "unsupported-media-type")
        assert "application/json" in problem["detail"]
        assert here.builds.state(KEY) is None


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/builds", f"{BUILD}/", "/nothing?x=1"])
@in_loop
async def test_unknown_route_is_a_problem(tmp_path: Path, path: str) -> None:
    async with site(tmp_path) as here:
        problem = problem_of(await here.http.get(path), 404, "NotFound", "not-found")
        assert problem["instance"] == path.partition("?")[0]


@in_loop
async def test_long_path_is_not_told_back_whole(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for path in (
            f"/{'x' * 199}",
            f"/{'x' * 200}",
            f"/{'%C3%A9' * 9000}",
            f"{BUILD}/{'x' * 9000}",
        ):
            problem = problem_of(await here.http.get(path), 404, "NotFound", "not-found")
            whole = len(path) <= 200
            assert (problem["instance"] == path) is whole
            assert problem["instance"] in problem["detail"]
            assert len(problem["detail"]) < 300


@in_loop
async def test_wrong_method_is_told_the_right_one(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.http.put(f"{BUILD}/cancel")
        problem = problem_of(answer, 405, "MethodNotAllowed", "method-not-allowed")
        assert answer.headers["allow"] == "POST"
        assert "POST" in problem["detail"]


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@in_loop
async def test_what_the_former_service_had_points_to_what_there_is(
    tmp_path: Path, method: str
) -> None:
    async with site(tmp_path) as here:
        problem = problem_of(await here.http.request(method, FORMER), 410, "Gone", "gone")
        assert "docs/migration" in problem["detail"]


@in_loop
async def test_fault_of_ours_tells_nothing_of_our_inside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(tmp_path) as here:
        here.declarations.fault = RuntimeError("the inside")
        for body in ({}, {"stream": True}):
            answer = await here.post(**body)
            problem_of(answer, 500, "InternalError", "internal-error")
            assert "inside" not in answer.text
    assert "the inside" in caplog.text


def problem_of(answer: Any, status: int, reason: str, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["reason"] == reason
    assert problem["type"] == f"urn:ade:problem:{kind}"
    assert problem["title"]
    assert problem["detail"]
    return problem
