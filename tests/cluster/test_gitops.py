"""What GitOps tools and scripts rely on, with the real API server and kubectl."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from configbuild.kube.client import FIELD_MANAGER
from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import ROOT, Operator, condition_of
from tests.cluster.trouble import SLOW, SOON_S, SPEC
from tests.packages import write_package
from tests.waits import Gate

SAMPLES = ROOT / "gitops" / "samples"
GUIDE = ROOT / "docs" / "gitops.md"
ARGO_CD = "--field-manager=argocd-controller"


def test_kubectl_wait_for_ready_is_true_for_no_generation_that_is_not_built(
    operator: Operator, gate: Gate
) -> None:
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    assert _waited(operator, "condition=Ready", timeout="0")
    _freeze(operator)
    operator.apply("invoices", SLOW)
    # The status still tells of the generation before; whoever reads the phase is deceived.
    body = operator.get("invoices")
    assert body["metadata"]["generation"] == 2
    assert condition_of(body, "Ready")["status"] == "True"
    assert _waited(operator, "jsonpath={.status.phase}=Active", timeout="0")
    assert not _waited(operator, "condition=Ready", timeout="0")
    assert not _waited(operator, "condition=Stalled", timeout="0")
    operator.apply("fresh", {**SPEC, "suspend": True})
    assert not _waited(operator, "condition=Ready", timeout="0", name="fresh")
    _thaw(operator)
    gate.wait_until_reached()
    assert not _waited(operator, "condition=Ready", timeout="0")
    gate.open_for_good()
    assert _waited(operator, "condition=Ready", timeout="60s")
    second = operator.get("invoices")["status"]["active"]["buildId"]
    assert second != first
    # An annotation makes no generation. What tells that it was seen is status.handled.
    _freeze(operator)
    operator.cluster.kubectl(
        *("annotate", "cb/invoices", "-n", operator.namespace, "ade.dev/force=nightly-1")
    )
    handled = "jsonpath={.status.handled.force.token}=nightly-1"
    assert _waited(operator, "condition=Ready", timeout="0")
    assert not _waited(operator, handled, timeout="0")
    _thaw(operator)
    assert _waited(operator, handled, timeout="60s")
    assert _waited(operator, "condition=Ready", timeout="60s")
    assert operator.get("invoices")["status"]["active"]["buildId"] not in (first, second)


def test_script_of_the_guide_ends_as_the_build_does(operator: Operator, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (script,) = [block for block in blocks if "wait -n" in block]
    write_package(operator.sources / "broken", "ade-config", while_building="raise SystemExit(3)")
    operator.apply("invoices", {**SPEC, "config": {"path": "broken"}})
    failed = _run(operator, script, tmp_path)
    assert (failed.returncode, operator.get("invoices")["status"]["phase"]) == (1, "Failed")
    operator.apply("invoices", SPEC)
    built = _run(operator, script, tmp_path)
    assert (built.returncode, built.stderr) == (0, "")
    assert condition_of(operator.get("invoices"), "Ready")["status"] == "True"


def test_fields_that_another_manager_applies_are_never_fought_over(operator: Operator) -> None:
    declared = {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {
            "name": "invoices",
            "namespace": operator.namespace,
            "labels": {"app.kubernetes.io/instance": "invoices"},
            "annotations": {"argocd.argoproj.io/sync-wave": "-1", "ade.dev/force": "1"},
        },
        "spec": {**SPEC, "timeout": "5m"},
    }
    _apply(operator, declared)
    built = operator.wait_at_rest("invoices")
    assert _diff(operator, declared).returncode == 0
    _apply(operator, declared)
    again = operator.get("invoices")
    assert again["metadata"]["resourceVersion"] == built["metadata"]["resourceVersion"]
    edited = {**declared, "spec": {**SPEC, "timeout": "6m", "verify": {"imports": ["ade_config"]}}}
    difference = _diff(operator, edited)
    assert difference.returncode == 1
    assert "+  timeout: 6m" in difference.stdout
    # Without --force-conflicts it would be refused if somebody else owned one of its fields.
    _apply(operator, edited)
    # At rest: kubectl reads the object, then applies it dry, and shows what changed in between too.
    operator.wait_at_rest("invoices")
    assert _diff(operator, edited).returncode == 0
    assert _owners(operator.get("invoices")) == {
        ("argocd-controller", "Apply", ""): {"f:metadata", "f:spec"},
        (FIELD_MANAGER, "Update", "status"): {"f:status"},
    }


@pytest.mark.usefixtures("crd")
def test_samples_for_gitops_are_accepted(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    rendered = {
        name: _kustomize(control_plane, SAMPLES / "environments" / name)
        for name in ("staging", "production")
    }
    rendered["preview"] = _kustomize(control_plane, _preview(tmp_path))
    for name, body in rendered.items():
        body["metadata"].update(name=f"invoices-{name}", namespace=namespace)
    refs = {name: body["spec"]["config"]["git"]["ref"] for name, body in rendered.items()}
    assert [*refs["staging"], *refs["production"], *refs["preview"]] == ["tag", "tag", "commit"]
    assert refs["staging"] != refs["production"]
    # The one thing in which the two environments differ, so the one thing that a promotion edits.
    rendered["production"]["spec"]["config"]["git"]["ref"] = refs["staging"]
    assert rendered["production"]["spec"] == rendered["staging"]["spec"]
    answer = control_plane.kubectl(
        *("apply", "--dry-run=server", "--server-side", ARGO_CD, "-f", "-"),
        stdin=yaml.safe_dump_all(rendered.values()),
    )
    assert len(answer.stdout.splitlines()) == len(rendered)


@pytest.mark.usefixtures("crd")
def test_component_brings_health_and_actions_into_the_config_map_of_argo_cd(
    control_plane: Cluster, tmp_path: Path
) -> None:
    argocd = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}}
    (tmp_path / "cm.yaml").write_text(yaml.safe_dump({**argocd, "data": {"url": "kept"}}))
    component = os.path.relpath(ROOT / "gitops" / "argocd", tmp_path)
    _overlay(tmp_path, resources=["cm.yaml"], components=[component])
    data = _kustomize(control_plane, tmp_path)["data"]
    patch = yaml.safe_load((ROOT / "gitops" / "argocd" / "argocd-cm.yaml").read_text())
    assert data == {"url": "kept", **patch["data"]}


def _preview(directory: Path) -> Path:
    """Make the overlay that Argo CD makes of the ApplicationSet for one pull request."""
    (found,) = yaml.safe_load_all((SAMPLES / "argocd" / "previews.yaml").read_text())
    source = found["spec"]["template"]["spec"]["source"]
    patches = source["kustomize"]["patches"]
    for patch in patches:
        patch["patch"] = patch["patch"].replace("{{ .head_sha }}", 20 * "ab")
    resource = os.path.relpath(SAMPLES / source["path"], directory)
    _overlay(directory, resources=[resource], patches=patches)
    return directory


def _overlay(directory: Path, **fields: Any) -> None:
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump({**kind, **fields}))


def _kustomize(cluster: Cluster, directory: Path) -> dict[str, Any]:
    (body,) = yaml.safe_load_all(cluster.kubectl("kustomize", str(directory)).stdout)
    assert isinstance(body, dict)
    return body


def _waited(operator: Operator, what: str, *, timeout: str, name: str = "invoices") -> bool:
    """Whether `kubectl wait` says that it is so."""
    argv = ("wait", f"--for={what}", f"--timeout={timeout}", f"cb/{name}")
    answer = operator.cluster.kubectl(*argv, "-n", operator.namespace, check=False)
    assert answer.returncode == 0 or "condition" in answer.stderr, answer.stderr
    return answer.returncode == 0


def _freeze(operator: Operator) -> None:
    """Have the operator not look at anything, as one does that is being replaced."""
    assert operator.process is not None
    os.kill(operator.process.pid, signal.SIGSTOP)
    stat = Path(f"/proc/{operator.process.pid}/stat")
    wait_until(
        lambda: stat.read_text().rpartition(")")[2].split()[0] == "T",
        what="the operator is frozen",
        timeout_s=SOON_S,
    )


def _thaw(operator: Operator) -> None:
    assert operator.process is not None
    os.kill(operator.process.pid, signal.SIGCONT)


def _apply(operator: Operator, body: Mapping[str, Any]) -> None:
    argv = ("apply", "--server-side", ARGO_CD, "-f", "-")
    operator.cluster.kubectl(*argv, stdin=json.dumps(body))


def _diff(operator: Operator, body: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    argv = ("diff", "--server-side", ARGO_CD, "-f", "-")
    answer = operator.cluster.kubectl(*argv, stdin=json.dumps(body), check=False)
    assert (answer.returncode == 0) == (answer.stdout == ""), answer.stderr
    return answer


def _owners(body: Mapping[str, Any]) -> dict[tuple[str, str, str], set[str]]:
    """Tell who owns what: manager, operation and subresource, and the fields at the top."""
    return {
        (row["manager"], row["operation"], row.get("subresource", "")): set(row["fieldsV1"])
        for row in body["metadata"]["managedFields"]
    }


def _run(operator: Operator, script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as its reader would, with kubectl on PATH and a context of the namespace."""
    kubectl = directory / "kubectl"
    real, kubeconfig = operator.cluster.assets.kubectl, operator.cluster.kubeconfig
    kubectl.write_text(
        f'#!/bin/sh\nexec {real} --kubeconfig={kubeconfig} -n {operator.namespace} "$@"\n'
    )
    kubectl.chmod(0o755)
    return subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{directory}:/usr/bin:/bin", "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
