"""The components for Prometheus and Grafana, in an overlay as their comments say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.controlplane import Cluster
from tests.cluster.operation import ROOT

OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../manifests/base]
components: [../manifests/components/prometheus, ../manifests/components/grafana]
namespace: team-a
"""


def test_overlay_has_the_operator_scraped_and_brings_alerts_and_board(
    control_plane: Cluster, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text(OVERLAY)
    rendered = control_plane.kubectl("kustomize", str(tmp_path / "overlay")).stdout
    docs: dict[str, dict[str, Any]] = {
        f"{doc['kind']}/{doc['metadata']['name']}": doc for doc in yaml.safe_load_all(rendered)
    }
    assert {doc["metadata"]["namespace"] for doc in docs.values()} == {"team-a"}

    service = docs["Service/configbuild-operator"]
    monitor = docs["ServiceMonitor/configbuild-operator"]["spec"]
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]

    assert docs["PrometheusRule/configbuild-operator"]["spec"]["groups"]
    board = docs["ConfigMap/configbuild-board"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["configbuild.json"])["title"] == "ConfigBuild"
