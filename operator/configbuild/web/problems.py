"""What is said when something is wrong: ``application/problem+json`` (RFC 9457), for every error.

``type`` is for programs and stays as it is; ``reason`` is the CamelCase word that stands in
conditions, Events and journals too; ``detail`` is for people. A problem is sent before the first
byte of an answer or not at all: a stream that breaks is cut, and its reader resumes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from configbuild.callers import ForbiddenError, UnauthorizedError
from configbuild.errors import (
    BuildRunningError,
    ClusterError,
    ConfigBuildError,
    JournalError,
    NotFoundError,
    QueueFullError,
    SourceError,
    SpecError,
    SuspendedError,
)
from configbuild.logstore import LogStoreError

MEDIA_TYPE = "application/problem+json"

# The wrong spec and the suspended config are 409: the request is right, the state of the resource
# that it names is in its way, and the caller can change that state (RFC 9110, 15.5.10). 422 is kept
# for the request itself. A source that cannot be had now is 503: the same request may do later.
_STATUS: dict[type[ConfigBuildError], tuple[HTTPStatus, str, str]] = {
    UnauthorizedError: (HTTPStatus.UNAUTHORIZED, "unauthorized", "Nobody knows who asks"),
    ForbiddenError: (HTTPStatus.FORBIDDEN, "forbidden", "Not allowed"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not-found", "Not found"),
    BuildRunningError: (HTTPStatus.CONFLICT, "build-running", "A build is running"),
    SuspendedError: (HTTPStatus.CONFLICT, "suspended", "The config is suspended"),
    SpecError: (HTTPStatus.CONFLICT, "invalid-spec", "The config cannot be built from"),
    SourceError: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "source-unavailable",
        "A source is not available",
    ),
    LogStoreError: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "log-store-failed",
        "The log is in the log store, which does not answer",
    ),
    QueueFullError: (HTTPStatus.SERVICE_UNAVAILABLE, "queue-full", "Too many builds wait"),
    ClusterError: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "cluster-unavailable",
        "The Kubernetes API server does not answer",
    ),
    JournalError: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "journal-failed",
        "The build's log cannot be kept",
    ),
}

# A place in the queue comes free when a build ends, which takes some 10 s at best; a source comes
# back when a person or a network does its part. Nobody is asked to wait longer than he would.
_RETRY_AFTER_S: dict[type[ConfigBuildError], int] = {
    LogStoreError: 10,
    QueueFullError: 10,
    SourceError: 30,
    ClusterError: 30,
    JournalError: 30,
}

# As in RFC 9110; Python says so from 3.13 on.
_PHRASES = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large"}

# RFC 9110, 9.3, and RFC 5789; what any of our routes could have.
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

# Of a path that a problem repeats: ours have 160 characters at most, and what else is asked for is
# told to somebody who knows it.
_MAX_PATH_CHARACTERS = 200

_MEANING: dict[int, str] = {
    401: "No token was shown, or one that is not valid (any more).",
    403: "The caller may not do this in this workspace; `detail` names the right that it needs.",
    404: "There is no such config or build, or no such build that the caller may do this with.",
    409: "The config's state is in the way: a build runs, it is suspended, or its spec is wrong.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The request is not valid; `errors` names the fields.",
    503: "Not now: the queue is full, a source or the API server is not available, or the operator"
    " is not ready.",
}


class InvalidPart(BaseModel):
    """A part of a request that is wrong."""

    model_config = ConfigDict(frozen=True)

    location: str = Field(description="path, query or body.", examples=["body"])
    field: str = Field(description="Its name; dots lead into objects.", examples=["options.force"])
    message: str


class Problem(BaseModel):
    """Says what is wrong (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(
        description="Names the kind of problem.", examples=["urn:ade:problem:suspended"]
    )
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What was wrong, where, and what to do next.")
    instance: str = Field(description="The path that was asked for.")
    reason: str = Field(description="One CamelCase word, the same as in conditions and events.")
    build_id: str | None = Field(default=None, description="The build that is in the way.")
    field: str | None = Field(default=None, description="The field of the spec that is wrong.")
    errors: list[InvalidPart] | None = Field(default=None, description="What is invalid.")
    missing: list[str] | None = Field(default=None, description="What is not ready.")


class ProblemResponse(JSONResponse):
    """A problem on its way to a client."""

    media_type = MEDIA_TYPE


def problem(
    request: Request,
    *,
    status: int,
    kind: str,
    title: str,
    detail: str,
    reason: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> ProblemResponse:
    """Make the answer; ``members`` are extension members."""
    body = Problem(
        type=f"urn:ade:problem:{kind}",
        title=title,
        status=status,
        detail=detail,
        instance=_path(request),
        reason=reason,
        **members,
    )
    return ProblemResponse(
        body.model_dump(exclude_none=True),
        status_code=status,
        headers=dict(headers or {}),
    )


def _path(request: Request) -> str:
    path = request.url.path
    return path if len(path) <= _MAX_PATH_CHARACTERS else f"{path[:_MAX_PATH_CHARACTERS]}…"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe possible problems for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANING[status], "content": content} for status in statuses}


def add_problems(app: FastAPI) -> None:
    """Have every error of an application answered as a problem."""
    app.add_exception_handler(ConfigBuildError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


async def _known(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, ConfigBuildError)
    return known_problem(request, error)


def known_problem(request: Request, error: ConfigBuildError) -> ProblemResponse:
    """Make the answer for an error that crosses rooms."""
    for kind_of_error in type(error).mro():
        if kind_of_error in _STATUS:
            break
    else:
        return _internal_error(request)
    status, kind, title = _STATUS[kind_of_error]
    return problem(
        request,
        status=status,
        kind=kind,
        title=title,
        detail=error.message,
        reason=error.reason,
        headers=_headers(error, kind_of_error),
        build_id=getattr(error, "build_id", None),
        field=getattr(error, "field", None),
    )


def _headers(error: ConfigBuildError, kind: type[ConfigBuildError]) -> dict[str, str]:
    headers = {}
    if kind in _RETRY_AFTER_S:
        headers["Retry-After"] = str(_RETRY_AFTER_S[kind])
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = error.challenge
    return headers


async def _invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    return _invalid_request(request, [_invalid_part(found) for found in error.errors()])


def _invalid_request(request: Request, parts: list[InvalidPart]) -> ProblemResponse:
    return problem(
        request,
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        kind="invalid-request",
        title="The request is not valid",
        detail="; ".join(f"{part.field}: {part.message}" for part in parts),
        reason="InvalidRequest",
        errors=parts,
    )


def _invalid_part(found: Mapping[str, Any]) -> InvalidPart:
    location, *path = found["loc"]
    if found["type"] == "json_invalid":
        message = f"is not JSON: {found['ctx']['error']} at character {path[0]}"
        return InvalidPart(location=location, field="body", message=message)
    return InvalidPart(
        location=location, field=".".join(map(str, path)) or location, message=found["msg"]
    )


async def _http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    phrase = _PHRASES.get(status, status.phrase)
    reason = "".join(word.capitalize() for word in phrase.split())
    headers = error.headers
    match status:
        case HTTPStatus.BAD_REQUEST:  # FastAPI's word for bytes that are no text, or nest too deep
            part = InvalidPart(location="body", field="body", message="cannot be read as JSON")
            return _invalid_request(request, [part])
        case HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {_path(request)}; /docs lists what there is"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_allowed_methods(request))}
            detail = f"{request.method} is not possible here; allowed: {headers['Allow']}"
        case _:
            detail = error.detail
    return problem(
        request,
        status=status,
        kind=phrase.lower().replace(" ", "-"),
        title=phrase.capitalize(),
        detail=detail,
        reason=reason,
        headers=headers,
    )


def _allowed_methods(request: Request) -> list[str]:
    """Name all methods of a path (RFC 9110, 10.2.1); Starlette names those of its first route."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _unknown(request: Request, _: Exception) -> ProblemResponse:
    return _internal_error(request)


def _internal_error(request: Request) -> ProblemResponse:
    # What it was stands in our own log: Starlette raises it again for the server to log.
    return problem(
        request,
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        kind="internal-error",
        title="Something is wrong with the operator",
        detail="the operator could not answer; its own log says why",
        reason="InternalError",
    )
