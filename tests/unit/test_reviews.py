"""What is asked of the API server about callers, and what is made of its answers.

Its answers are those of a real one; tests/cluster/test_auth.py asks it itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from configbuild.callers import Act, Identity
from configbuild.errors import ClusterError
from configbuild.kube.rest import ForbiddenError, Rest
from configbuild.kube.reviews import Reviews
from configbuild.model import ConfigKey
from tests.process.support import in_loop

KEY = ConfigKey("team-a", "invoices")
ANN = Identity(
    name="ann", uid="1", groups=("people", "system:authenticated"), extra=(("scopes", ("x", "y")),)
)
USER = {
    "username": "ann",
    "uid": "1",
    "groups": ["people", "system:authenticated"],
    "extra": {"scopes": ["x", "y"]},
}
MINE = "configbuild.ade.dev"
NOT_MINE = {"authenticated": False, "error": "token audiences are invalid"}


class Server(Rest):
    """Takes down what it is asked, and answers from a list."""

    def __init__(self, *statuses: Mapping[str, Any] | Exception) -> None:
        self.statuses = list(statuses)
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def post(
        self,
        path: str,
        variables: Mapping[str, str],
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> Any:
        self.asked.append((path, body["spec"]))
        status = self.statuses.pop(0)
        if isinstance(status, Exception):
            raise status
        return {"status": status}


class Clocks:
    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return 5.0 + self.passed

    def wall(self) -> float:
        return 1_900_000_000.0 + self.passed


def reviews(
    server: Rest,
    *,
    audiences: tuple[str, ...] = (MINE,),
    api: bool = True,
    clocks: Clocks | None = None,
    registry: CollectorRegistry | None = None,
) -> Reviews:
    clocks = clocks or Clocks()
    return Reviews(
        server,
        audiences=audiences,
        api_audience=api,
        keep_s=10,
        registry=registry or CollectorRegistry(),
        monotonic=clocks.monotonic,
        wall=clocks.wall,
    )


def jwt(expires_at: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires_at}).encode()).decode()
    return f"e30.{payload.rstrip('=')}.c2ln"


@in_loop
async def test_token_for_this_api_says_who_shows_it() -> None:
    server = Server({"authenticated": True, "audiences": [MINE], "user": USER})
    assert await reviews(server).identify("token") == ANN
    assert server.asked == [
        ("/apis/authentication.k8s.io/v1/tokenreviews", {"token": "token", "audiences": [MINE]})
    ]


@in_loop
async def test_token_for_the_api_server_is_asked_about_second() -> None:
    server = Server(NOT_MINE, {"authenticated": True, "user": USER})
    assert await reviews(server).identify("token") == ANN
    assert [spec.get("audiences") for _, spec in server.asked] == [[MINE], None]

    server = Server(NOT_MINE)
    assert await reviews(server, api=False).identify("token") is None


@pytest.mark.parametrize("found", [None, [], ["other"]], ids=["none", "empty", "other"])
@in_loop
async def test_who_answers_for_no_audience_that_was_named_is_not_believed(
    found: list[str] | None,
) -> None:
    status: dict[str, Any] = {"authenticated": True, "user": USER}
    if found is not None:
        status["audiences"] = found
    assert await reviews(Server(status), api=False).identify("token") is None


@in_loop
async def test_token_that_expires_is_asked_about_again_although_an_answer_is_kept() -> None:
    clocks = Clocks()
    good = {"authenticated": True, "audiences": [MINE], "user": USER}
    server = Server(good, NOT_MINE)
    judge = reviews(server, api=False, clocks=clocks)
    token = jwt(clocks.wall() + 3)
    assert await judge.identify(token) == ANN
    clocks.passed = 2.9
    assert await judge.identify(token) == ANN
    clocks.passed = 3.0  # the answer itself would be good for seven more seconds
    assert await judge.identify(token) is None
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b.c", "a.!.c", jwt("soon"), jwt(None), "e30.W10.x"],
    ids=["opaque", "no base64", "no base64 either", "a word", "null", "a list"],
)
@in_loop
async def test_token_that_says_nothing_of_its_end_is_kept_as_others(token: str) -> None:
    clocks = Clocks()
    good = {"authenticated": True, "audiences": [MINE], "user": USER}
    server = Server(good)
    judge = reviews(server, clocks=clocks)
    await judge.identify(token)
    clocks.passed = 9.9
    assert await judge.identify(token) == ANN


@pytest.mark.parametrize(
    ("act", "verb", "subresource"),
    [
        (Act.LIST_BUILDS, "list", ""),
        (Act.READ_BUILD, "get", ""),
        (Act.READ_LOG, "get", "log"),
        (Act.REQUEST_BUILD, "create", "build"),
        (Act.CANCEL_BUILD, "update", "cancel"),
    ],
)
@in_loop
async def test_each_act_is_a_right_to_the_config(act: Act, verb: str, subresource: str) -> None:
    server = Server({"allowed": True})
    assert await reviews(server).allows(ANN, act, KEY)
    ((path, spec),) = server.asked
    assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert spec == {
        "user": "ann",
        "uid": "1",
        "groups": ["people", "system:authenticated"],
        "extra": {"scopes": ["x", "y"]},
        "resourceAttributes": {
            "verb": verb,
            "group": "ade.dev",
            "resource": "configbuilds",
            "subresource": subresource,
            "namespace": "team-a",
            "name": "invoices",
        },
    }
    assert reviews(server).right(act).startswith(f"{verb} configbuilds")


@in_loop
async def test_metrics_are_no_resource() -> None:
    server = Server({"allowed": True})
    judge = reviews(server)
    assert await judge.allows(ANN, Act.READ_METRICS, None)
    assert server.asked[0][1]["nonResourceAttributes"] == {"verb": "get", "path": "/metrics"}
    assert judge.right(Act.READ_METRICS) == "get /metrics"


@pytest.mark.parametrize(
    "status",
    [{}, {"allowed": False}, {"allowed": "yes"}, {"allowed": True, "denied": True}],
    ids=["nothing", "no", "a word", "both"],
)
@in_loop
async def test_only_a_clear_yes_is_one(status: Mapping[str, Any]) -> None:
    assert not await reviews(Server(status)).allows(ANN, Act.READ_LOG, KEY)


@in_loop
async def test_answer_is_that_of_one_caller_one_act_and_one_config() -> None:
    server = Server(*({"allowed": number == 0} for number in range(4)))
    judge = reviews(server)
    ben = Identity(name="ann", groups=("other",))
    assert await judge.allows(ANN, Act.READ_LOG, KEY)
    assert await judge.allows(ANN, Act.READ_LOG, KEY)
    assert not await judge.allows(ben, Act.READ_LOG, KEY)
    assert not await judge.allows(ANN, Act.CANCEL_BUILD, KEY)
    assert not await judge.allows(ANN, Act.READ_LOG, ConfigKey("team-a", "orders"))
    assert server.statuses == []


@pytest.mark.parametrize(
    "failure",
    [ForbiddenError(403, "Forbidden"), ConnectionResetError(), TimeoutError()],
    ids=["forbidden", "reset", "timeout"],
)
@in_loop
async def test_api_server_that_does_not_answer_allows_nothing_and_is_asked_again(
    failure: Exception,
) -> None:
    registry = CollectorRegistry()
    server = Server(failure, failure, {"authenticated": True, "audiences": [MINE], "user": USER})
    judge = reviews(server, registry=registry)
    with pytest.raises(ClusterError, match="TokenReview"):
        await judge.identify("token")
    with pytest.raises(ClusterError, match="SubjectAccessReview"):
        await judge.allows(ANN, Act.READ_LOG, KEY)
    assert await judge.identify("token") == ANN
    for kind, asked in (("TokenReview", 2), ("SubjectAccessReview", 1)):
        labels = {"kind": kind}
        assert registry.get_sample_value("configbuild_review_failures_total", labels) == 1
        name = "configbuild_review_duration_seconds_count"
        assert registry.get_sample_value(name, labels) == asked
