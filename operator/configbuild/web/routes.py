"""The builds API: ask for a build, look at builds, watch one, end one."""

from __future__ import annotations

from dataclasses import replace
from email.message import Message
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from starlette.exceptions import HTTPException

from configbuild.builds.ask import Ask, Ensured
from configbuild.builds.decision import Verdict
from configbuild.builds.records import BuildRecord
from configbuild.callers import Act
from configbuild.errors import NotFoundError
from configbuild.model import BuildId, ConfigKey
from configbuild.outcome import REUSED
from configbuild.web.access import Caller, CallerOf, Permit
from configbuild.web.backend import Backend, BackendOf
from configbuild.web.bodies import SmallBodyRoute
from configbuild.web.logs import read_page
from configbuild.web.models import Build, BuildCreateRequest, BuildList, BuildLogs
from configbuild.web.parameters import AfterId, BuildIdOf, KeyOf
from configbuild.web.problems import problems
from configbuild.web.stream import (
    MEDIA_TYPE,
    EventStream,
    stream_events,
    stream_reused,
)

PREFIX = "/api/v1"

router = APIRouter(prefix=PREFIX, tags=["builds"], route_class=SmallBodyRoute)

_NDJSON = {
    MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "description": "One event a line, and now and then an empty line. The first is"
            " build.created, the last build.completed; a stream without it was cut, and goes on"
            " at /builds/{build_id}/events?after_id=…&follow=true.",
        }
    }
}


def _json_only(request: Request) -> None:
    # A browser sends other kinds of bodies to any address without asking it first (CORS).
    declared = Message()
    declared["Content-Type"] = request.headers.get("content-type", "")
    empty = request.headers.get("content-length") in (None, "0")
    chunked = "transfer-encoding" in request.headers
    if (not empty or chunked) and declared.get_content_type() != "application/json":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body has to be JSON, sent with Content-Type: application/json",
        )


@router.post(
    "/workspaces/{workspace_id}/configs/{config_id}/builds",
    status_code=HTTPStatus.CREATED,
    response_model=Build,
    response_description="A build was queued.",
    responses={
        200: {
            "model": Build,
            "description": "With stream: the build's events. Otherwise the build that is reused,"
            " or that was joined and has ended.",
            "content": _NDJSON,
        },
        202: {"model": Build, "description": "The wait is over, and the build goes on."},
        **problems(403, 404, 409, 413, 415, 422, 503),
    },
    dependencies=[Depends(_json_only)],
)
async def create_build(
    key: KeyOf,
    backend: BackendOf,
    caller: CallerOf,
    wish: Annotated[BuildCreateRequest, Body(default_factory=BuildCreateRequest)],
) -> Response:
    """See to it that a config has the build that it declares: reuse, join, or build.

    One that runs already is joined with `stream` or `wait`, replaced with `force`, and is a
    conflict otherwise. With `stream`, the caller has to be one who may read the log.
    """
    await caller.require(Act.REQUEST_BUILD, key)
    if wish.stream:
        await caller.require(Act.READ_LOG, key)
    ask = Ask(requested=True, force=wish.options.force, join=wish.stream or wish.options.wait)
    ensured = await backend.service.ensure(key, ask)
    record = ensured.record
    assert record is not None  # who asks is told of a build, or gets an error
    if ensured.verdict is Verdict.BUILD:
        await backend.recorded(record)
    if wish.stream:
        return await _stream(backend, ensured, record, caller.permit(Act.READ_LOG, key))
    if wish.options.wait and not record.status.ended:
        await backend.settled(record.id)
        record = await backend.service.find(record.id)
        if record is None:
            raise NotFoundError(f"the ConfigBuild {key} was deleted meanwhile")
    return _snapshot(backend, ensured, record, waited=wish.options.wait)


@router.get(
    "/workspaces/{workspace_id}/configs/{config_id}/builds", responses=problems(403, 404, 422)
)
async def list_builds(key: KeyOf, backend: BackendOf, caller: CallerOf) -> BuildList:
    """List the builds of a config that are remembered, newest first."""
    await caller.require(Act.LIST_BUILDS, key)
    state = backend.service.state(key)
    if state is None:
        raise NotFoundError(f"there is no ConfigBuild {key}")
    return BuildList(builds=[_build(backend, record) for record in state.all_records()])


@router.get("/builds/{build_id}", responses=problems(404, 422))
async def get_build(build_id: BuildIdOf, backend: BackendOf, caller: CallerOf) -> Build:
    """Look at a build."""
    return _build(backend, await _found(backend, caller, build_id, Act.READ_BUILD))


@router.get(
    "/builds/{build_id}/events",
    status_code=HTTPStatus.OK,
    response_class=EventStream,
    response_description="The build's events.",
    responses={200: {"content": _NDJSON}, **problems(404, 422)},
)
async def get_build_events(
    build_id: BuildIdOf,
    backend: BackendOf,
    caller: CallerOf,
    after_id: AfterId = 0,
    follow: Annotated[bool, Query(description="Go on to the end of the build.")] = False,
) -> Response:
    """Read a build's events after a cursor, without gap or double."""
    record = await _found(backend, caller, build_id, Act.READ_LOG)
    permit = caller.permit(Act.READ_LOG, record.key)
    return await stream_events(backend, record, permit=permit, after_id=after_id, follow=follow)


@router.get("/builds/{build_id}/logs", responses=problems(404, 422))
async def get_build_logs(
    build_id: BuildIdOf,
    backend: BackendOf,
    caller: CallerOf,
    after_id: AfterId = 0,
    limit: Annotated[int, Query(description="Lines at most.", ge=1, le=1000)] = 1000,
) -> BuildLogs:
    """Read a build's output, page by page."""
    record = await _found(backend, caller, build_id, Act.READ_LOG)
    return await read_page(backend, record, after_id=after_id, limit=limit)


@router.post(
    "/builds/{build_id}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    response_description="The build will end; one that has ended stays as it is.",
    responses=problems(404, 422),
)
async def cancel_build(build_id: BuildIdOf, backend: BackendOf, caller: CallerOf) -> Build:
    """End a build that waits or runs."""
    await _found(backend, caller, build_id, Act.CANCEL_BUILD)
    return _build(backend, await backend.service.cancel(build_id, "canceled over HTTP"))


async def _stream(
    backend: Backend, ensured: Ensured, record: BuildRecord, permit: Permit
) -> Response:
    if ensured.verdict is Verdict.REUSE:
        return await stream_reused(backend, record, permit=permit)
    return await stream_events(backend, record, permit=permit, follow=True)


def _snapshot(backend: Backend, ensured: Ensured, record: BuildRecord, *, waited: bool) -> Response:
    if waited and not record.status.ended:
        status = HTTPStatus.ACCEPTED
    elif ensured.verdict is Verdict.BUILD:
        status = HTTPStatus.CREATED
    else:
        status = HTTPStatus.OK
    if ensured.verdict is Verdict.REUSE:
        record = replace(record, summary=REUSED)
    return Response(
        _build(backend, record).model_dump_json(),
        status_code=status,
        headers={"Location": f"{PREFIX}/builds/{record.id}"},
        media_type="application/json",
    )


async def _found(backend: Backend, caller: Caller, build_id: BuildId, act: Act) -> BuildRecord:
    """Find a build with which the caller may do this.

    Otherwise :class:`NotFoundError`, whether there is such a build or not. The same is asked about
    the caller in both cases, so that the time does not tell them apart either.
    """
    record = await backend.service.find(build_id)
    key = record.key if record is not None else _nowhere(build_id)
    allowed = await caller.may(act, key)
    if record is None or not allowed:
        or_else = ", or none that you may do this with" if backend.access is not None else ""
        raise NotFoundError(f"there is no build {build_id}{or_else}")
    return record


def _nowhere(build_id: BuildId) -> ConfigKey:
    """Make the key of a config that is nowhere, another for each build."""
    return ConfigKey("", build_id.ulid)


def _build(backend: Backend, record: BuildRecord) -> Build:
    return Build.of(record, queue_position=backend.service.queue_position(record.id))
