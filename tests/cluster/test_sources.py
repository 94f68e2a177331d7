"""The operator and a private Git repository: real TLS, a real Secret, a branch that moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator, condition_of, install_rights
from tests.packages import package_files, write_package
from tests.sources.repositories import Repository
from tests.sources.site import AUTHORIZATION, PASSWORD, USERNAME, Site, serving


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path / "site") as made:
        yield made


@pytest.fixture
def repository(site: Site) -> Repository:
    return Repository(site.repositories / "rules.git")


@pytest.fixture
def operator(
    control_plane: Cluster, crd: None, namespace: str, tmp_path: Path, site: Site
) -> Iterator[Operator]:
    """An operator whose settings let it fetch from the site, and that knows no other authority."""
    install_rights(control_plane, namespace)
    settings = {
        "ADE_SANDBOX": "off",  # its back end tells the test what it was given
        "ADE_ALLOWED_HOSTS": site.authority,
        "ADE_LOG_LEVEL": "DEBUG",
    }
    operator = Operator(control_plane, namespace, tmp_path / "operator", settings=settings)
    write_package(operator.sources / "engine", "ade-engine")
    operator.start()
    yield operator
    if operator.process is not None:
        operator.kill()
    print(operator.log)


def spec(site: Site, **git: Any) -> dict[str, Any]:
    source = {
        "url": site.url("/private/rules.git"),
        "ref": {"branch": "main"},
        "secretRef": {"name": "login"},
        **git,
    }
    return {"engine": {"path": "engine"}, "config": {"git": source}, "interval": "30s"}


def apply_secret(operator: Operator, site: Site, allowed: str | None) -> None:
    annotations = {} if allowed is None else {"ade.dev/allowed-hosts": allowed}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "login",
            "namespace": operator.namespace,
            "annotations": annotations,
        },
        "stringData": {
            "username": USERNAME,
            "password": PASSWORD,
            "ca.crt": site.ca.read_text(),
        },
    }
    operator.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def test_branch_of_a_private_repository_is_built_and_built_again_when_it_moves(
    operator: Operator, site: Site, repository: Repository, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    dump = f"import os\nopen({str(environment)!r}, 'a').write(repr(dict(os.environ)))"
    first = repository.commit(package_files("ade-config", while_building=dump))
    apply_secret(operator, site, site.authority)
    operator.apply("rules", spec(site))
    before = operator.wait_for("rules", "Ready")["status"]
    assert before["steps"][0]["name"] == "fetch_config"
    assert first in json.dumps(operator.journal(before["active"]["buildId"]))

    second = repository.commit(
        package_files("ade-config", module_source="RULE = 2\n", while_building=dump)
    )
    moved = _wait_for_another_build(operator, before["active"]["buildId"])

    assert moved["build"]["trigger"] == "SourceChanged"
    assert moved["build"]["changed"] == ["config"]
    assert second in json.dumps(operator.journal(moved["active"]["buildId"]))
    assert {request.authorization for request in site.requests} == {AUTHORIZATION}
    for place, text in _everything_said(operator).items() | {("back end", environment.read_text())}:
        for secret in (PASSWORD, AUTHORIZATION.split()[1]):
            assert secret not in text, place


def _wait_for_another_build(operator: Operator, build_id: str) -> dict[str, Any]:
    def another() -> dict[str, Any] | None:
        status: dict[str, Any] = operator.get("rules")["status"]
        return status if status["active"]["buildId"] != build_id else None

    return wait_until(another, what="the branch is built again", timeout_s=120)


def _everything_said(operator: Operator) -> dict[str, str]:
    kubectl = operator.cluster.kubectl
    objects = ("get", "configbuilds,events,configmaps", "-n", operator.namespace, "-o", "json")
    said = {"objects": kubectl(*objects).stdout, "operator's log": operator.log}
    for root in (operator.logs, operator.venvs):
        for file in root.rglob("*"):
            if file.suffix in (".ndjson", ".json", ".txt"):
                said[str(file)] = file.read_text()
    assert any(place.endswith("build.json") for place in said)
    return said


@pytest.mark.parametrize("allowed", [None, "other.example"])
def test_secret_that_does_not_name_the_host_is_not_sent_there(
    operator: Operator, site: Site, repository: Repository, allowed: str | None
) -> None:
    repository.commit(package_files("ade-config"))
    apply_secret(operator, site, allowed)
    operator.apply("rules", spec(site))

    row = condition_of(operator.wait_for("rules", "Stalled"), "Stalled")

    assert row["reason"] == "SecretNotAllowed"
    assert site.requests == []


def test_source_that_is_denied_is_stalled_and_built_once_the_secret_is_right(
    operator: Operator, site: Site, repository: Repository
) -> None:
    repository.commit(package_files("ade-config"))
    operator.apply("rules", spec(site))
    row = condition_of(operator.wait_for("rules", "Stalled"), "Stalled")
    assert row["reason"] == "SecretNotFound"

    apply_secret(operator, site, site.authority)

    operator.wait_for("rules", "Ready", patient=True)
