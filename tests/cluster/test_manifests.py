"""The shipped manifests, as the real API server takes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import ROOT

pytestmark = pytest.mark.usefixtures("crd")

MANIFESTS = ROOT / "manifests"


def test_base_is_accepted_and_its_pod_passes_restricted_pod_security(
    control_plane: Cluster, namespace: str
) -> None:
    control_plane.kubectl(
        *("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    )
    control_plane.kubectl("apply", "-n", namespace, "-k", str(MANIFESTS / "base"))

    def pods() -> list[str]:
        return control_plane.kubectl("get", "pods", "-n", namespace, "-o", "name").stdout.split()

    assert len(wait_until(pods, what="the Deployment has its pod", timeout_s=60)) == 1


def test_default_installs_crd_and_operator_into_a_namespace_of_its_own(
    control_plane: Cluster,
) -> None:
    answer = control_plane.kubectl(
        "apply", "--dry-run=server", "-k", str(MANIFESTS / "default"), check=False
    )
    # Its namespace is not there in a dry run; everything else has been looked at by then.
    assert "namespace/configbuild-system" in answer.stdout
    assert "customresourcedefinition.apiextensions.k8s.io/configbuilds.ade.dev" in answer.stdout
    rendered = control_plane.kubectl("kustomize", str(MANIFESTS / "default")).stdout
    kinds = [doc["kind"] for doc in yaml.safe_load_all(rendered)]
    assert sorted(kinds) == sorted(
        [
            *("CustomResourceDefinition", "Deployment", "Namespace", "NetworkPolicy"),
            "PersistentVolumeClaim",
            *("Role", "Role", "RoleBinding", "RoleBinding", "Service", "ServiceAccount"),
            *(4 * ["ClusterRole"]),
            "ClusterRoleBinding",
        ]
    )


def test_reviewer_binds_the_account_of_the_namespace_that_an_overlay_names(
    control_plane: Cluster, tmp_path: Path
) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    # As the comment in manifests/reviewer says.
    comment = (MANIFESTS / "reviewer" / "kustomization.yaml").read_text()
    lines = [line[4:] for line in comment.splitlines() if line.startswith("#   ")]
    body = "\n".join(lines[: next(i for i, line in enumerate(lines) if "kubectl" in line)])
    (overlay / "kustomization.yaml").write_text(body.replace("../", "../manifests/"))
    rendered = control_plane.kubectl("kustomize", str(overlay)).stdout
    docs = list(yaml.safe_load_all(rendered))
    (binding,) = [doc for doc in docs if doc["kind"] == "ClusterRoleBinding"]
    assert binding["metadata"]["name"] == "configbuild-operator-team-a"
    assert [subject["namespace"] for subject in binding["subjects"]] == ["team-a"]
    assert {doc["metadata"].get("namespace") for doc in docs if doc != binding} == {"team-a"}


def test_samples_are_accepted_and_applied_again_change_nothing(
    control_plane: Cluster, namespace: str
) -> None:
    samples = str(MANIFESTS / "samples")
    control_plane.kubectl("apply", "-n", namespace, "-k", samples)
    again = control_plane.kubectl("apply", "-n", namespace, "-k", samples).stdout.splitlines()
    assert again
    assert all(line.endswith(" unchanged") for line in again)


def test_an_edit_of_a_sample_config_map_changes_the_name_in_the_spec(
    control_plane: Cluster, tmp_path: Path
) -> None:
    before = _config_map_of(control_plane, MANIFESTS / "samples")
    edited = tmp_path / "samples"
    edited.mkdir()
    for source in (MANIFESTS / "samples").rglob("*"):
        if source.is_file():
            target = edited / source.relative_to(MANIFESTS / "samples")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    manifest = edited / "invoices" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "title": "Other"}))
    assert _config_map_of(control_plane, edited) != before


def _config_map_of(cluster: Cluster, directory: Path) -> str:
    docs = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(directory)).stdout))
    (config_map,) = [doc for doc in docs if doc["kind"] == "ConfigMap"]
    (invoices,) = [doc for doc in docs if doc["metadata"]["name"] == "invoices"]
    name: str = invoices["spec"]["config"]["configMap"]["name"]
    assert name == config_map["metadata"]["name"]
    return name
