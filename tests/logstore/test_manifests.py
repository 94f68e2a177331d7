"""The shipped Valkey server: a component that a real API server takes, and a script that runs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import valkey
import yaml

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.controlplane.ports import pick_ports
from tests.cluster.operation import ROOT
from tests.waits import PATIENCE_S

MANIFESTS = ROOT / "manifests"
COMPONENT = MANIFESTS / "valkey"
SECRET = "with spaces and $HOME"


def overlay_of(tmp_path: Path) -> Path:
    """Make the overlay that the component's comment tells of."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    comment = (COMPONENT / "kustomization.yaml").read_text()
    lines = [line[4:] for line in comment.splitlines() if line.startswith("#   ")]
    body = "\n".join(lines).replace("../", "../manifests/").replace("namespace: team-a", "")
    (overlay / "kustomization.yaml").write_text(body)
    (overlay / "password").write_text("a-password")
    return overlay


def test_component_is_accepted_and_its_pod_passes_restricted_pod_security(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    control_plane.kubectl(
        *("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    )
    control_plane.kubectl("apply", "-n", namespace, "-k", str(overlay_of(tmp_path)))

    def pods() -> list[dict[str, Any]]:
        found = control_plane.kubectl("get", "pods", "-n", namespace, "-o", "yaml").stdout
        items: list[dict[str, Any]] = yaml.safe_load(found)["items"]
        return items

    (pod,) = wait_until(pods, what="the Deployment has its pod", timeout_s=60)
    (sidecar,) = pod["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    # The generated name, with its hash, has come through the component's patch.
    name = volumes["valkey-password"]["secret"]["secretName"]
    assert name.startswith("configbuild-valkey-")
    (operator,) = pod["spec"]["containers"]
    settings = {each["name"]: each.get("value") for each in operator["env"]}
    assert settings["ADE_LOG_STORE"] == "valkey"
    assert settings["ADE_VENVS_DIR"]


def test_the_sidecar_starts_a_server_that_wants_the_password_of_the_secret(
    valkey_program: Path, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(SECRET)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "valkey-server").symlink_to(valkey_program)
    port = pick_ports().apiserver
    patch = yaml.safe_load((COMPONENT / "sidecar.yaml").read_text())
    (sidecar,) = patch["spec"]["template"]["spec"]["initContainers"]
    script = (
        sidecar["args"][0]
        .replace("/etc/valkey", str(tmp_path))
        .replace("/run/valkey", str(tmp_path))
        .replace("port 6379", f"port {port}")
    )
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    with subprocess.Popen([*sidecar["command"], script], env={"PATH": path}) as server:
        try:
            wait_until(lambda: answers(port), what="Valkey answers", timeout_s=PATIENCE_S)
            password = SECRET
            with valkey.Valkey(host="127.0.0.1", port=port, password=password) as client:
                assert client.ping()
                assert client.config_get("maxmemory") == {"maxmemory": str(256 * 1024 * 1024)}
                assert client.config_get("bind") == {"bind": "127.0.0.1"}
        finally:
            server.kill()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
