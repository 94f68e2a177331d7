"""One operator for all namespaces, with just the rights of the cluster-wide component."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.controlplane import Cluster, ControlPlane, wait_until
from tests.cluster.operation import ROOT, START_TIMEOUT_S, Operator, condition_of
from tests.cluster.trouble import SPEC
from tests.packages import write_package

RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}

OVERLAY = """\
resources: [../manifests/base]
components: [../manifests/reviewer, ../manifests/components/cluster-wide]
namespace: {namespace}
"""


# A control plane of its own: on the shared one it would serve every other test's objects too.
def test_operator_for_all_namespaces_builds_in_each_with_the_shipped_rights(
    plane: ControlPlane, tmp_path: Path
) -> None:
    home, team = plane.create_namespace("system"), plane.create_namespace("team")
    rendered = overlay(plane, home, tmp_path)
    rights = [doc for doc in rendered if doc["kind"] in RIGHTS]
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rights))
    (deployment,) = [doc for doc in rendered if doc["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["operator"]

    operator = Operator(plane, home, tmp_path / "operator", everywhere=True)
    for namespace in (home, team):
        for name in ("engine", "config"):
            write_package(operator.sources.parent / namespace / name, f"ade-{name}")
    operator.start()
    try:
        for namespace in (home, team):
            apply(plane, namespace)
        for namespace in (home, team):
            wait_until(
                partial(is_ready, plane, namespace),
                what=f"the ConfigBuild in {namespace} is ready",
                timeout_s=START_TIMEOUT_S,
            )
        entries = plane.audit.entries(user=operator.user)
        assert [entry for entry in entries if entry.code == 403] == []
    finally:
        operator.kill()
        print(operator.log)


def overlay(cluster: Cluster, namespace: str, tmp_path: Path) -> list[dict[str, Any]]:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    directory = tmp_path / "overlay"
    directory.mkdir()
    (directory / "kustomization.yaml").write_text(OVERLAY.format(namespace=namespace))
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(directory)).stdout))


def apply(cluster: Cluster, namespace: str) -> None:
    body = {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {"name": "invoices", "namespace": namespace},
        "spec": SPEC,
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def is_ready(cluster: Cluster, namespace: str) -> bool:
    path = f"/apis/ade.dev/v1alpha1/namespaces/{namespace}/configbuilds/invoices"
    return condition_of(cluster.get(path), "Ready").get("status") == "True"
