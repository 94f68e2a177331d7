"""Who may come in, and what they may do there; the cluster that would say so is made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from configbuild.callers import Act, Identity
from configbuild.errors import ClusterError
from configbuild.model import BuildId, ConfigKey
from configbuild.web.access import Access
from configbuild.web.app import routed_app
from configbuild.web.doorkeeper import OPEN_PATHS
from tests.process.support import in_loop
from tests.web.support import BUILDS, INVOICES, Lines, Site, events_of, site

ANN = {"Authorization": "Bearer anns-token"}
EVERYTHING = frozenset(Act)
AT_THE_GATE = "résolving ade-config==2.1"


@dataclass(slots=True)
class Cluster:
    """Says whose tokens are whose, and who may do what in which workspace."""

    tokens: dict[str, Identity] = field(
        default_factory=lambda: {"anns-token": Identity(name="ann", groups=("people",))}
    )
    acts: set[Act] = field(default_factory=lambda: set(EVERYTHING))
    workspaces: set[str] = field(default_factory=lambda: {INVOICES.namespace})
    is_away: bool = False
    asked: list[object] = field(default_factory=list)
    asked_in_vain: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def identify(self, token: str) -> Identity | None:
        self.asked.append(token)
        self._answer()
        return self.tokens.get(token)

    async def allows(self, identity: Identity, act: Act, key: ConfigKey | None) -> bool:
        self.asked.append((act, key))
        self._answer()
        return act in self.acts and (key is None or key.namespace in self.workspaces)

    def right(self, act: Act) -> str:
        return f"right of {act.name}"

    def _answer(self) -> None:
        if self.is_away:
            self.asked_in_vain.release()
            raise ClusterError("the API server does not answer")


@asynccontextmanager
async def guarded_site(
    directory: Path, cluster: Cluster, *, recheck_s: float = 60.0, unsure_s: float = 60.0
) -> AsyncIterator[Site]:
    registry = CollectorRegistry()
    access = Access(cluster, cluster, registry=registry, recheck_s=recheck_s, unsure_s=unsure_s)
    async with site(directory, access=access, registry=registry) as here:
        here.http.headers.update(ANN)
        yield here


def routes() -> list[tuple[str, str]]:
    """All methods and paths of the application."""
    paths = routed_app().openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


@in_loop
async def test_every_route_but_the_open_ones_wants_a_token(tmp_path: Path) -> None:
    async with guarded_site(tmp_path, Cluster()) as here:
        del here.http.headers["Authorization"]
        seen = set()
        for method, route in routes():
            path = route.format(
                workspace_id="team-a",
                config_id="invoices",
                configuration_id="invoices",
                build_id=BuildId.new(),
            )
            answer = await here.http.request(method, path)
            if route in OPEN_PATHS:
                assert answer.status_code == 200, route
                seen.add(route)
            else:
                refused(answer)
        assert seen == {"/healthz", "/readyz"}
        for path in ("/openapi.json", "/docs"):
            assert (await here.http.get(path)).status_code == 200
        for path in ("/", "/nothing", "/healthz/", "/api/v1"):
            refused(await here.http.get(path))


@pytest.mark.parametrize(
    "header",
    [
        "anns-token",
        "Basic anns-token",
        "Bearer",
        "Bearer a b",
        "Bearer a,b",
        "Bearer " + 20_000 * "a",
    ],
    ids=["no scheme", "basic", "empty", "two words", "comma", "long"],
)
@in_loop
async def test_header_that_holds_no_token_is_refused_without_asking(
    tmp_path: Path, header: str
) -> None:
    cluster = Cluster()
    async with guarded_site(tmp_path, cluster) as here:
        refused(await here.http.get(BUILDS, headers={"Authorization": header}))
        assert cluster.asked == []


@in_loop
async def test_token_that_is_not_valid_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    async with guarded_site(tmp_path, Cluster()) as here:
        for token, answered in (("stolen", 401), ("anns-token", 422)):
            answer = await here.http.post(
                BUILDS,
                content=b"{",
                headers={"Authorization": f"bearer {token}", "Content-Type": "application/json"},
            )
            assert answer.status_code == answered
        assert 'error="invalid_token"' in refused(
            await here.http.get(BUILDS, headers={"Authorization": "Bearer stolen"})
        )


@in_loop
async def test_named_workspace_of_somebody_else_is_forbidden(tmp_path: Path) -> None:
    cluster = Cluster(workspaces=set())
    async with guarded_site(tmp_path, cluster) as here:
        for answer, act in (
            (await here.post(), Act.REQUEST_BUILD),
            (await here.http.get(BUILDS), Act.LIST_BUILDS),
        ):
            assert answer.status_code == 403
            problem = answer.json()
            assert problem["reason"] == "Forbidden"
            assert f"right of {act.name}" in problem["detail"]
            assert "ann" in problem["detail"]
        assert here.builds.state(INVOICES) is None

        cluster.workspaces.add("team-a")
        assert (await here.post(options={"wait": True})).status_code == 201
        assert (await here.http.get(BUILDS)).status_code == 200


@in_loop
async def test_stream_of_a_new_build_is_for_who_may_read_its_log(tmp_path: Path) -> None:
    cluster = Cluster(acts={Act.REQUEST_BUILD})
    async with guarded_site(tmp_path, cluster) as here:
        answer = await here.post(stream=True)
        assert answer.status_code == 403
        assert here.builds.state(INVOICES) is None  # and none was queued
        cluster.acts.add(Act.READ_LOG)
        answer = await here.post(stream=True)
        assert events_of(answer.content)[-1]["type"] == "build.completed"


ID_ROUTES = [
    ("GET", "", Act.READ_BUILD, 200),
    ("GET", "/events", Act.READ_LOG, 200),
    ("GET", "/logs", Act.READ_LOG, 200),
    ("POST", "/cancel", Act.CANCEL_BUILD, 202),
]


@pytest.mark.parametrize(
    ("method", "route", "act", "success"), ID_ROUTES, ids=["build", "events", "logs", "cancel"]
)
@in_loop
async def test_build_of_somebody_else_reads_like_one_that_is_not_there(
    tmp_path: Path, method: str, route: str, act: Act, success: int
) -> None:
    cluster = Cluster()
    async with guarded_site(tmp_path, cluster) as here:
        there, nowhere = (await here.build())["id"], BuildId.new()

        async def ask(build_id: str) -> tuple[httpx.Response, int]:
            cluster.asked.clear()
            answer = await here.http.request(method, f"/api/v1/builds/{build_id}{route}")
            return answer, len(cluster.asked)

        assert (await ask(there))[0].status_code == success
        for hide in ("workspace", "right"):
            cluster.workspaces = set() if hide == "workspace" else {"team-a"}
            cluster.acts = set(EVERYTHING) - ({act} if hide == "right" else set())
            (hidden, asked), (unknown, also_asked) = await ask(there), await ask(nowhere)
            assert hidden.status_code == unknown.status_code == 404
            assert hidden.text.replace(there, "ID") == unknown.text.replace(nowhere, "ID")
            assert without_date(hidden) == without_date(unknown)
            assert asked == also_asked  # the time that it takes would tell too


@pytest.mark.parametrize("taken", ["right", "token"])
@in_loop
async def test_stream_ends_when_its_reader_is_no_longer_allowed(tmp_path: Path, taken: str) -> None:
    cluster = Cluster(tokens={name: Identity(name=name) for name in ("anns-token", "bens-token")})
    async with guarded_site(tmp_path, cluster, recheck_s=0.05) as here:
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        path = f"/api/v1/builds/{build_id}/events?follow=true"
        async with (
            here.http.stream("GET", path) as mine,
            here.http.stream("GET", path, headers={"Authorization": "Bearer bens-token"}) as his,
        ):
            lines = Lines(mine)
            await lines.until(AT_THE_GATE)
            if taken == "token":
                del cluster.tokens["anns-token"]
            else:
                cluster.acts.remove(Act.READ_LOG)
            got = await lines.rest()  # it ends in order, so that a client knows to come back
            assert got.endswith(b"\n")
            assert all(event["type"] != "build.completed" for event in events_of(got))
            assert (await here.http.get(path)).status_code == (401 if taken == "token" else 404)
            gate.open()
            rest = await Lines(his).rest()
            ended = events_of(rest)[-1]["type"] == "build.completed"
            assert ended == (taken == "token")  # one of another reader goes on
        gate.close()
    assert count(here, "revoked") >= 1


@in_loop
async def test_stream_outlives_a_short_absence_of_who_could_say(tmp_path: Path) -> None:
    cluster = Cluster()
    async with guarded_site(tmp_path, cluster, recheck_s=0.05) as here:
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        async with here.http.stream("GET", f"/api/v1/builds/{build_id}/events?follow=true") as it:
            lines = Lines(it)
            await lines.until(AT_THE_GATE)
            cluster.is_away = True
            for _ in range(3):
                await cluster.asked_in_vain.acquire()
            gate.open()
            assert events_of(await lines.rest())[-1]["type"] == "build.completed"
        gate.close()


@in_loop
async def test_stream_is_cut_when_nobody_can_say_for_long(tmp_path: Path) -> None:
    cluster = Cluster()
    async with guarded_site(tmp_path, cluster, recheck_s=0.05, unsure_s=0.1) as here:
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        async with here.http.stream("GET", f"/api/v1/builds/{build_id}/events?follow=true") as it:
            lines = Lines(it)
            await lines.until(AT_THE_GATE)
            cluster.is_away = True
            assert all(e["type"] != "build.completed" for e in events_of(await lines.rest()))
        gate.open()
        gate.close()


@in_loop
async def test_nobody_is_let_in_while_nobody_can_say_who_they_are(tmp_path: Path) -> None:
    cluster = Cluster()
    async with guarded_site(tmp_path, cluster) as here:
        build_id = (await here.build())["id"]
        cluster.is_away = True
        for path in (BUILDS, f"/api/v1/builds/{build_id}", f"/api/v1/builds/{BuildId.new()}"):
            answer = await here.http.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (503, "ClusterUnavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert (await here.http.get("/healthz")).status_code == 200
        cluster.is_away = False
        assert (await here.http.get(BUILDS)).status_code == 200


@in_loop
async def test_metrics_are_for_who_may_read_them_and_count_the_answers(tmp_path: Path) -> None:
    cluster = Cluster(acts=set())
    async with guarded_site(tmp_path, cluster) as here:
        assert (await here.http.get("/metrics")).status_code == 403
        await here.http.get("/metrics", headers={"Authorization": "Bearer stolen"})
        cluster.acts.add(Act.READ_METRICS)
        text = (await here.http.get("/metrics")).text
    for result, times in (("allowed", 1), ("forbidden", 1), ("invalid", 1), ("revoked", 0)):
        assert f'configbuild_http_auth_total{{result="{result}"}} {times}.0' in text


@in_loop
async def test_all_is_open_where_nobody_is_asked(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        assert (await here.http.get(BUILDS)).status_code == 200
        assert (await here.http.get("/metrics")).status_code == 200
        assert (await here.events(build_id)).endswith(b"\n")


def test_document_says_which_routes_want_a_token() -> None:
    document = routed_app().openapi()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path not in OPEN_PATHS)
            assert ("401" in operation["responses"]) == (path not in OPEN_PATHS)


def refused(answer: httpx.Response) -> str:
    """Check that an answer is a refusal of who is not known; returns its challenge."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["reason"] == "Unauthorized"
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer ")
    return challenge


def without_date(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "date"}


def count(here: Site, result: str) -> float:
    registry: Any = here.app.state.backend.registry
    value = registry.get_sample_value("configbuild_http_auth_total", {"result": result})
    assert value is not None
    return float(value)
