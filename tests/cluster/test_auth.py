"""Who may read and ask, as a real API server says it: real accounts, tokens, roles and TLS."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from configbuild.model import BuildId
from tests.cluster.controlplane import Cluster, ControlPlane, wait_until
from tests.cluster.operation import ROOT, Operator, install_rights
from tests.cluster.trouble import SLOW, SOON_S, SPEC, Prepare, crash, slow_config
from tests.packages import write_package

AUDIENCE = "configbuild.ade.dev"

# As off loopback, with what a test wants to see within a second.
GUARDED = {
    "ADE_AUTH": "kubernetes",
    "ADE_HTTP_HOST": "0.0.0.0",
    "ADE_POD_IP": "127.0.0.1",
    "ADE_AUTH_CACHE_SECONDS": "0.2",
    "ADE_AUTH_RECHECK_SECONDS": "0.3",
}


class People:
    """Service accounts of one namespace, and what they may do in it or in another."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace

    def add(self, name: str, *, role: str | None = None, within: str | None = None) -> None:
        """Make an account, and bind it to one of the shipped ClusterRoles in a namespace."""
        self._cluster.kubectl("create", "serviceaccount", name, "-n", self.namespace)
        if role is not None:
            self.grant(name, role, within=within)

    def grant(self, name: str, role: str, *, within: str | None = None) -> None:
        account = f"--serviceaccount={self.namespace}:{name}"
        self._cluster.kubectl(
            *("create", "rolebinding", f"{name}-{role}", f"--clusterrole={role}", account),
            *("-n", within or self.namespace),
        )

    def revoke(self, name: str, role: str) -> None:
        self._cluster.kubectl("delete", "rolebinding", f"{name}-{role}", "-n", self.namespace)

    def remove(self, name: str) -> None:
        self._cluster.kubectl("delete", "serviceaccount", name, "-n", self.namespace)

    def token(self, name: str, audience: str | None = AUDIENCE) -> str:
        """Have a token made; for the API server's own audience with ``None``."""
        made_for = ("--audience", audience) if audience else ()
        arguments = ("create", "token", name, "-n", self.namespace, "--duration=10m", *made_for)
        return self._cluster.kubectl(*arguments).stdout.strip()


@pytest.fixture
def people(control_plane: Cluster, namespace: str) -> People:
    install_roles(control_plane)
    return People(control_plane, namespace)


@pytest.fixture
def guarded(
    control_plane: Cluster, crd: None, namespace: str, tmp_path: Path
) -> Iterator[Operator]:
    """Run an operator as off loopback: TLS, and each caller is asked about."""
    install_rights(control_plane, namespace)
    settings = {**GUARDED, "ADE_POD_NAMESPACE": namespace}
    operator = Operator(control_plane, namespace, tmp_path, settings=settings)
    for name in ("engine", "config"):
        write_package(operator.sources / name, f"ade-{name}")
    operator.start()
    yield operator
    if operator.process is not None:
        operator.kill()
    print(operator.log)


def install_roles(cluster: Cluster) -> None:
    """Apply the shipped ClusterRoles; may be done by several at once."""
    file = str(ROOT / "manifests" / "cluster" / "clusterroles.yaml")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
    file = str(ROOT / "manifests" / "cluster" / "metrics.yaml")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", file)


def published(cluster: Cluster, namespace: str) -> ssl.SSLContext:
    """Trust the authority that the operator's ConfigMap names, and no other."""
    answer = cluster.kubectl("get", "configmap", "configbuild-ca", "-n", namespace, "-o", "json")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=json.loads(answer.stdout)["data"]["ca.crt"])
    return context


def ask(operator: Operator, token: str | None, path: str, **body: Any) -> httpx.Response:
    trust = published(operator.cluster, operator.namespace)
    with operator.client(token, trust=trust) as client:
        if body:
            return client.post(path, json=body)
        return client.get(path)


def builds_of(operator: Operator, name: str = "invoices") -> str:
    return f"/api/v1/workspaces/{operator.namespace}/configs/{name}/builds"


def test_tokens_that_are_no_good_are_refused_and_those_that_are_let_in(
    guarded: Operator, people: People
) -> None:
    people.add("ann", role="configbuild-viewer")
    people.add("leaver", role="configbuild-viewer")
    guarded.apply("invoices", SPEC)
    guarded.wait_for("invoices", "Ready")
    leavers = people.token("leaver")
    good = {
        "for this API": people.token("ann"),
        "for the API server": people.token("ann", audience=None),
        "of who leaves later": leavers,
    }
    for what, token in good.items():
        assert ask(guarded, token, builds_of(guarded)).status_code == 200, what
    people.remove("leaver")
    header, claims, signature = good["for this API"].split(".")
    bad: dict[str, str | None] = {
        "none": None,
        "for somebody else": people.token("ann", audience="somebody-else"),
        "of who has left": leavers,
        "with another signature": ".".join((header, claims, signature[::-1])),
        "of another kind": "c2VjcmV0",
    }
    for what, shown in bad.items():
        answer = until_status(401, partial(ask, guarded, shown, builds_of(guarded)))
        assert answer.json()["reason"] == "Unauthorized", what
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), what


def test_roles_let_do_what_their_names_say(guarded: Operator, people: People) -> None:
    roles = ("configbuild-viewer", "configbuild-editor", "configbuild-admin", "view", "edit")
    for role in roles:
        people.add(f"a-{role}", role=role)
    people.add("nobody")
    guarded.apply("invoices", SPEC)
    status = guarded.wait_for("invoices", "Ready")["status"]
    build = f"/api/v1/builds/{status['active']['buildId']}"
    # view and edit get the rules of these roles from a controller, which takes a moment.
    wait_until(
        lambda: (
            "configbuilds/cancel"
            in guarded.cluster.kubectl("get", "clusterrole", "edit", "-o", "yaml").stdout
        ),
        what="the roles are aggregated",
        timeout_s=SOON_S,
    )
    for role in roles:
        token = people.token(f"a-{role}")
        may_act = role in ("configbuild-editor", "configbuild-admin", "edit")
        reading = [builds_of(guarded), build, f"{build}/logs", f"{build}/events"]
        for path in reading:
            assert ask(guarded, token, path).status_code == 200, (role, path)
        asked = ask(guarded, token, builds_of(guarded), options={})
        assert asked.status_code == (200 if may_act else 403), (role, asked.text)
        ended = ask(guarded, token, f"{build}/cancel", nothing=True)
        assert ended.status_code == (202 if may_act else 404), (role, ended.text)
        assert ask(guarded, token, "/metrics").status_code == 403
    answer = ask(guarded, people.token("nobody"), builds_of(guarded), options={})
    assert answer.status_code == 403
    assert "create configbuilds/build" in answer.json()["detail"]
    assert f"system:serviceaccount:{guarded.namespace}:nobody" in answer.json()["detail"]


def test_right_to_one_config_is_no_right_to_another(guarded: Operator, people: People) -> None:
    people.add("ann")
    kubectl, scope = guarded.cluster.kubectl, ("-n", guarded.namespace)
    kubectl(
        *("create", "role", "one", "--verb=get,list", "--resource-name=invoices", *scope),
        "--resource=configbuilds.ade.dev,configbuilds.ade.dev/log",
    )
    account = f"--serviceaccount={guarded.namespace}:ann"
    kubectl("create", "rolebinding", "one", "--role=one", account, *scope)
    builds = {}
    for name in ("invoices", "orders"):
        guarded.apply(name, SPEC)
        builds[name] = guarded.wait_for(name, "Ready")["status"]["active"]["buildId"]
    token = people.token("ann")
    for name, listed, read in (("invoices", 200, 200), ("orders", 403, 404)):
        assert ask(guarded, token, builds_of(guarded, name)).status_code == listed
        assert ask(guarded, token, f"/api/v1/builds/{builds[name]}/logs").status_code == read


def test_id_of_another_namespace_answers_like_one_that_is_unknown(
    guarded: Operator, people: People, control_plane: Cluster
) -> None:
    other = control_plane.create_namespace("other")
    people.add("ann", role="configbuild-admin", within=other)
    people.add("ben", role="configbuild-admin")
    guarded.apply("invoices", SPEC)
    there = guarded.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    unknown = BuildId.new()
    ann, ben = people.token("ann"), people.token("ben")
    for route in ("", "/logs", "/events", "/events?follow=true"):
        hidden, nowhere = (
            ask(guarded, ann, f"/api/v1/builds/{build_id}{route}") for build_id in (there, unknown)
        )
        assert hidden.status_code == nowhere.status_code == 404
        assert hidden.text.replace(there, "ID") == nowhere.text.replace(unknown, "ID")
        assert ask(guarded, ben, f"/api/v1/builds/{there}{route}").status_code == 200
    assert ask(guarded, ann, builds_of(guarded)).status_code == 403
    control_plane.delete_namespace(other)


def test_metrics_and_health_ask_as_they_should(guarded: Operator, people: People) -> None:
    people.add("prometheus")
    guarded.cluster.kubectl(
        *("create", "clusterrolebinding", f"metrics-{guarded.namespace}"),
        "--clusterrole=configbuild-metrics-reader",
        f"--serviceaccount={guarded.namespace}:prometheus",
    )
    text = ask(guarded, people.token("prometheus"), "/metrics").text
    assert 'configbuild_http_auth_total{result="allowed"}' in text
    assert 'configbuild_review_duration_seconds_count{kind="TokenReview"}' in text
    assert ask(guarded, None, "/metrics").status_code == 401
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert ask(guarded, None, path).status_code == 200


@pytest.mark.parametrize("taken", ["right", "account"])
def test_stream_ends_after_the_right_or_the_account_is_taken_away(
    guarded: Operator, people: People, tmp_path: Path, taken: str
) -> None:
    people.add("ann", role="configbuild-editor")
    people.add("ben", role="configbuild-viewer")
    gate = slow_config(guarded, tmp_path)
    guarded.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = guarded.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    path = f"/api/v1/builds/{build_id}/events?follow=true"
    trust = published(guarded.cluster, guarded.namespace)
    with (
        guarded.client(people.token("ann"), trust=trust) as ann,
        guarded.client(people.token("ben"), trust=trust) as ben,
        ann.stream("GET", path) as mine,
        ben.stream("GET", path) as his,
    ):
        lines = mine.iter_lines()
        assert json.loads(next(lines))["type"] == "build.created"
        if taken == "right":
            people.revoke("ann", "configbuild-editor")
        else:
            people.remove("ann")
        assert "build.completed" not in "".join(lines)  # it ends although the build goes on
        assert ann.get(path).status_code == (404 if taken == "right" else 401)
        gate.open_for_good()
        assert "build.completed" in list(filter(None, his.iter_lines()))[-1]


def test_authority_is_published_and_another_one_after_a_restart(guarded: Operator) -> None:
    first = published(guarded.cluster, guarded.namespace)
    guarded.stop()
    guarded.start()
    with guarded.client(trust=published(guarded.cluster, guarded.namespace)) as client:
        assert client.get("/healthz").status_code == 200
    with guarded.client(trust=first) as client, pytest.raises(httpx.ConnectError):
        client.get("/healthz")


def test_anybody_with_a_name_may_read_the_authority_and_nothing_else(
    guarded: Operator, people: People
) -> None:
    people.add("nobody")
    account = f"system:serviceaccount:{guarded.namespace}:nobody"
    for name, answer in (("configbuild-ca", "yes"), ("another", "no")):
        told = guarded.cluster.kubectl(
            *("auth", "can-i", "get", f"configmap/{name}", "-n", guarded.namespace),
            *("--as", account, "--as-group", "system:authenticated"),
            check=False,
        )
        assert told.stdout.strip() == answer


@pytest.mark.parametrize("missing", ["tokenreviews", "configmaps"])
def test_right_that_is_missing_ends_the_start_and_is_named(
    control_plane: Cluster, crd: None, namespace: str, tmp_path: Path, missing: str
) -> None:
    install_rights(control_plane, namespace)
    if missing == "tokenreviews":
        binding = f"configbuild-operator-{namespace}"
        control_plane.kubectl("delete", "clusterrolebinding", binding)
    else:
        _take_away(control_plane, namespace, "create", "configmaps")
    settings = {**GUARDED, "ADE_POD_NAMESPACE": namespace}
    operator = Operator(control_plane, namespace, tmp_path, settings=settings)
    with pytest.raises(AssertionError, match=f"may not create {missing}"):
        operator.start()


def test_nobody_is_let_in_while_the_api_server_is_away(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    install_roles(plane)
    operator = prepare(plane, **{**GUARDED, "ADE_HTTP_HOST": "127.0.0.1"})
    operator.start()
    people = People(plane, operator.namespace)
    people.add("ann", role="configbuild-viewer")
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    with operator.client(people.token("ann")) as client:
        assert client.get(builds_of(operator)).status_code == 200
        crash(plane)
        answer = until_status(503, lambda: client.get(builds_of(operator)))
        assert answer.json()["reason"] == "ClusterUnavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/healthz").status_code == 200
        plane.restart_apiserver()
        until_status(200, lambda: client.get(builds_of(operator)))


def _take_away(cluster: Cluster, namespace: str, verb: str, resource: str) -> None:
    """Leave a verb out of the operator's Role."""
    scope = ("-n", namespace)
    role = json.loads(
        cluster.kubectl("get", "role", "configbuild-operator", *scope, "-o", "json").stdout
    )
    (rule,) = (found for found in role["rules"] if resource in found["resources"])
    rule["verbs"].remove(verb)
    cluster.kubectl("replace", *scope, "-f", "-", stdin=json.dumps(role))


def until_status(status: int, act: Callable[[], httpx.Response]) -> httpx.Response:
    """Repeat a request until what was kept of earlier answers is over."""

    def answered() -> httpx.Response | None:
        answer = act()
        return answer if answer.status_code == status else None

    return wait_until(answered, what=f"the answer is {status}", timeout_s=SOON_S)
