"""The CRD as the real API server takes it: what it refuses, fills in, explains and prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.controlplane import Cluster
from tests.unit.bad_specs import GOOD_SPECS, REFUSED_BY_OPERATOR, REFUSED_BY_SCHEMA, BadSpec, Spec

pytestmark = pytest.mark.usefixtures("crd")


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in REFUSED_BY_SCHEMA])
def test_bad_spec_is_refused_with_the_field_and_what_to_write(
    control_plane: Cluster, case: BadSpec
) -> None:
    answer = _apply(control_plane, case.spec)
    assert answer.returncode != 0
    assert case.field in answer.stderr
    assert case.message_of_api_server in answer.stderr


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in REFUSED_BY_OPERATOR])
def test_what_only_the_operator_can_judge_is_taken(control_plane: Cluster, case: BadSpec) -> None:
    # Unknown fields are dropped, as by clients that do not ask for strictness.
    answer = _apply(control_plane, case.spec, "--validate=ignore")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("spec", [pytest.param(s, id=name) for name, s in GOOD_SPECS.items()])
def test_good_spec_is_taken_and_stored_as_its_author_wrote_it(
    control_plane: Cluster, namespace: str, spec: Spec
) -> None:
    control_plane.kubectl("create", "-f", "-", "-n", namespace, stdin=_object(spec))
    stored = json.loads(
        control_plane.kubectl("get", "cb", "some", "-n", namespace, "-o", "json").stdout
    )
    assert stored["spec"] == spec
    assert stored["status"] == {"observedGeneration": -1}


def test_unknown_field_is_refused_by_kubectl(control_plane: Cluster) -> None:
    spec = {"config": {"requirement": "ade-config"}, "enginee": {"path": "engine"}}
    answer = _apply(control_plane, spec)
    assert 'unknown field "spec.enginee"' in answer.stderr


def test_name_of_more_than_63_characters_is_refused(control_plane: Cluster) -> None:
    answer = _apply(control_plane, {"config": {"path": "x"}}, name="a" * 64)
    assert "metadata.name must have at most 63 characters" in answer.stderr


def test_fresh_object_never_reads_as_done(control_plane: Cluster, namespace: str) -> None:
    spec = {"config": {"requirement": "ade-config"}}
    control_plane.kubectl("create", "-f", "-", "-n", namespace, stdin=_object(spec))
    answer = control_plane.kubectl(
        *("wait", "--for=condition=Ready", "cb/some", "-n", namespace, "--timeout=1s"),
        check=False,
    )
    assert "timed out" in answer.stderr


def test_explain_reads_well(control_plane: Cluster) -> None:
    text = control_plane.kubectl("explain", "configbuild.spec.config").stdout
    assert "exactly one kind of source" in text
    for field in ("archive", "configMap", "git", "path", "requirement"):
        assert f"  {field}\t" in text
    assert "<no description>" not in _explain_all(control_plane)


def test_columns_short_name_and_category(control_plane: Cluster, namespace: str) -> None:
    spec = {"config": {"requirement": "ade-config"}}
    control_plane.kubectl("create", "-f", "-", "-n", namespace, stdin=_object(spec))
    for resource in ("cb", "configbuild", "configbuilds", "ade"):
        table = control_plane.kubectl("get", resource, "-n", namespace).stdout
        header = table.splitlines()[0].split()
        assert header == [
            *("NAME", "READY", "PHASE", "STEP", "BUILD", "PYTHON", "ENGINE", "AGE"),
        ]
    wide = control_plane.kubectl("get", "cb", "-n", namespace, "-o", "wide").stdout
    assert wide.splitlines()[0].split()[-3:] == ["REASON", "TRIGGER", "MESSAGE"]


def _explain_all(cluster: Cluster) -> str:
    return cluster.kubectl("explain", "configbuild", "--recursive", "--output=plaintext").stdout


def _object(spec: Spec, name: str = "some") -> str:
    body: dict[str, Any] = {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {"name": name},
        "spec": spec,
    }
    return json.dumps(body)


def _apply(cluster: Cluster, spec: Spec, *options: str, name: str = "some") -> Any:
    return cluster.kubectl(
        *("apply", "--dry-run=server", "-f", "-", *options), stdin=_object(spec, name), check=False
    )
