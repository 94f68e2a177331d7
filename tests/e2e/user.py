"""What a person does at the cluster: with kubectl, its plugin, and pods of their own."""

from __future__ import annotations

import calendar
import json
import os
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import ApiError, wait_until
from tests.cluster.operation import ROOT, condition_of
from tests.e2e import images
from tests.e2e.errors import E2eError
from tests.e2e.node import Node

NAMESPACE = "configbuild-system"
OPERATOR = "configbuild-operator"
VOLUME = "/var/lib/configbuild"

# Each is a matter of seconds on an idle machine.
PATIENCE_S = 180.0

_RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class User:
    """Somebody with a kubeconfig."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._cluster = node.cluster

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return self._cluster.kubectl(*argv, stdin=stdin).stdout

    def install(self, tag: str) -> None:
        """Apply manifests/default by an overlay that says which image, and where wheels are."""
        overlay = self.node.directory / "overlay"
        overlay.mkdir(exist_ok=True)
        wheels = [{"name": "ADE_WHEELHOUSE", "value": f"{VOLUME}/wheelhouse"}]
        container = {"name": "operator", "env": wheels}
        patch = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": OPERATOR},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }
        kustomization = {
            "resources": [os.path.relpath(ROOT / "manifests" / "default", overlay)],
            "images": [{"name": OPERATOR, "newName": images.NAME, "newTag": tag}],
            "patches": [{"patch": json.dumps(patch)}],
        }
        (overlay / "kustomization.yaml").write_text(json.dumps(kustomization))
        self.kubectl("apply", "-k", str(overlay))

    def put(self, content: Path, place: str) -> None:
        """Copy a directory to the operator's volume, as manifests/samples/README.md says."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(content, arcname=".", filter=_without_owner)
        to = f"{VOLUME}/{place}"
        where = ("exec", "-i", "-n", NAMESPACE, f"deploy/{OPERATOR}", "--")
        script = f"mkdir -p {to} && tar -xf - -C {to}"
        command = [str(self._cluster.assets.kubectl), *where, "sh", "-c", script]
        done = subprocess.run(
            command,
            env={**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig)},
            input=packed.getvalue(),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise E2eError(f"{' '.join(command)}: {done.stderr.decode()}")

    def plugin(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl configbuild …`; its exit code is for the caller to judge."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._cluster.kubeconfig),
            "KUBECTL": str(self._cluster.assets.kubectl),
        }
        command = [sys.executable, "-m", "configbuild.cli.kubectl", *argv, "-n", NAMESPACE]
        if "--" in argv:
            at = argv.index("--")
            command = [*command[:3], *argv[:at], "-n", NAMESPACE, *argv[at:]]
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def apply(self, body: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(body))

    def config(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = self._cluster.get(
            f"/apis/ade.dev/v1alpha1/namespaces/{NAMESPACE}/configbuilds/{name}"
        )
        return body

    def annotate(self, name: str, text: str) -> None:
        self.kubectl("annotate", "-n", NAMESPACE, "configbuild", name, text, "--overwrite")

    def wait_ready(self, name: str, *, after: str | None = None) -> dict[str, Any]:
        """Wait for Ready of what is declared now; returns the status.

        With ``after`` until another build than that is active.
        """

        def ready() -> dict[str, Any] | None:
            self.node.check()
            body = self.config(name)
            row = condition_of(body, "Ready")
            current = row.get("observedGeneration") == body["metadata"]["generation"]
            status: dict[str, Any] = body.get("status", {})
            active = status.get("active", {}).get("buildId")
            if condition_of(body, "Stalled").get("status") == "True" and current:
                raise E2eError(f"{name} is stalled:\n{json.dumps(status, indent=1)}")
            return status if row.get("status") == "True" and current and active != after else None

        try:
            return wait_until(ready, what=f"{name} is Ready", timeout_s=PATIENCE_S)
        except TimeoutError as error:
            status = json.dumps(self.config(name).get("status"), indent=1)
            raise E2eError(f"{error}:\n{status}") from None

    def wait_running(self, name: str, step: str, *, after: str | None = None) -> str:
        """Wait until a build of a config is in a step; returns its id."""

        def running() -> str | None:
            status = self.config(name).get("status", {})
            build_id: str | None = status.get("build", {}).get("id")
            return build_id if status.get("step") == step and build_id != after else None

        return wait_until(
            running, what=f"{name} is in {step}", timeout_s=PATIENCE_S, interval_s=0.1
        )

    def operator_pod(self, *, other_than: str | None = None) -> dict[str, Any]:
        """Wait until the operator's pod is Ready, and the only one; returns it."""

        def ready() -> dict[str, Any] | None:
            self.node.check()
            pods = self.pods("app.kubernetes.io/component=operator")
            if len(pods) != 1 or pods[0]["metadata"]["uid"] == other_than:
                return None
            row = condition_of(pods[0], "Ready")
            return pods[0] if row.get("status") == "True" else None

        return wait_until(ready, what="the operator's pod is Ready", timeout_s=PATIENCE_S)

    def pods(self, selector: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}"
        try:
            rows: list[dict[str, Any]] = self._cluster.get(path)["items"]
        except ApiError:
            return []
        return rows

    def start_reader(self, name: str, config: str, *, role: str | None) -> None:
        """Start a pod that follows a config's build, as a service account with a role or none."""
        self.kubectl("create", "serviceaccount", "-n", NAMESPACE, name)
        if role is not None:
            account = f"--serviceaccount={NAMESPACE}:{name}"
            where = ("-n", NAMESPACE, name, f"--clusterrole={role}", account)
            self.kubectl("create", "rolebinding", *where)
        service = self._cluster.get(f"/api/v1/namespaces/{NAMESPACE}/services/{OPERATOR}")
        host = f"{OPERATOR}.{NAMESPACE}.svc"
        program = (Path(__file__).parent / "reader.py").read_text()
        token = {"serviceAccountToken": {"audience": "configbuild.ade.dev", "path": "token"}}
        trust = {"configMap": {"name": "configbuild-ca"}}
        mount = {"name": "configbuild", "mountPath": "/var/run/configbuild", "readOnly": True}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {
                    "serviceAccountName": name,
                    "restartPolicy": "Never",
                    "securityContext": {**_RESTRICTED, "fsGroup": 10001},
                    # In place of the cluster's name server, which this one does not have.
                    "hostAliases": [{"ip": service["spec"]["clusterIP"], "hostnames": [host]}],
                    "containers": [
                        {
                            "name": "reader",
                            # For its Python; nothing of the operator's is used.
                            "image": f"{images.NAME}:{images.TAGS[0]}",
                            "imagePullPolicy": "Never",
                            "command": ["python3", "-I", "-c", program],
                            "args": [f"https://{host}:8443", NAMESPACE, config],
                            "securityContext": _CONTAINER,
                            "volumeMounts": [mount],
                        }
                    ],
                    "volumes": [{"name": "configbuild", "projected": {"sources": [token, trust]}}],
                },
            }
        )

    def wait_reading(self, name: str) -> None:
        """Wait until the reader has asked once, and waits for a build."""
        wait_until(
            lambda: self.log_of(name),
            what=f"{name} has asked",
            timeout_s=PATIENCE_S,
            interval_s=0.5,
        )

    def wait_ended(self, name: str) -> tuple[int, str]:
        """Wait for the end of a pod; returns its exit code and its log."""

        def code() -> int | None:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
            states = self._cluster.get(path)["status"].get("containerStatuses", ())
            ended = next((state["state"].get("terminated") for state in states), None)
            return None if ended is None else ended["exitCode"] + 1  # 0 is an answer too

        found = wait_until(code, what=f"pod {name} ends", timeout_s=PATIENCE_S)
        return found - 1, self.log_of(name)

    def log_of(self, pod: str) -> str:
        return self._cluster.kubectl("logs", "-n", NAMESPACE, pod, check=False).stdout

    def operator_log(self) -> str:
        """Return the end of the operator's log, and of that of the container before it."""
        where = ("logs", "-n", NAMESPACE, f"deploy/{OPERATOR}", "--tail=60")
        before = self._cluster.kubectl(*where, "--previous", check=False).stdout
        return before + self._cluster.kubectl(*where, check=False).stdout


def started_at(pod: Mapping[str, Any]) -> float:
    """Tell when the node started a pod's container, in Unix seconds rounded down."""
    (state,) = pod["status"]["containerStatuses"]
    text = state["state"]["running"]["startedAt"]
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def process_age_s(pid: int) -> float:
    """Tell for how long a process has run."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): starttime is field 22
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def readiness(address: str) -> dict[str, Any] | None:
    """Ask a pod for its /readyz; None if it does not answer or is not ready."""
    trust = ssl.create_default_context()
    trust.check_hostname = False  # as the kubelet asks: for what is said, not for who says it
    trust.verify_mode = ssl.CERT_NONE
    try:
        url = f"https://{address}:8443/readyz"
        with urllib.request.urlopen(url, timeout=2, context=trust) as answer:
            body: dict[str, Any] = json.load(answer)
    except OSError:
        return None
    return body


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def read_events(log: str) -> list[tuple[float, dict[str, Any]]]:
    """Read what `reader.py` printed: when each event came, and the event."""
    rows: Sequence[str] = [line for line in log.splitlines() if line[:1].isdigit()]
    return [(float(row.partition(" ")[0]), json.loads(row.partition(" ")[2])) for row in rows]
