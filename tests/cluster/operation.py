"""The real operator in a real cluster: a process of its own, under its own role."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.controlplane import Cluster, wait_until

ROOT = Path(__file__).parent.parent.parent
CRD = ROOT / "crds" / "configbuilds.ade.dev.yaml"
SERVICE_ACCOUNT = "configbuild-operator"

# A start imports kopf and the API client, which takes seconds where the processors are busy.
START_TIMEOUT_S = 60.0

_RIGHTS = ("ServiceAccount", "Role", "RoleBinding")


def install_crd(cluster: Cluster) -> None:
    """Apply the CRD and wait until it is served; may be done by several at once."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    # Not `kubectl wait`: it fails on an object that has no conditions at all yet, as this one has
    # for some milliseconds.
    wait_until(lambda: _is_served(cluster), what="the CRD is served", timeout_s=START_TIMEOUT_S)


def _is_served(cluster: Cluster) -> bool:
    path = 'jsonpath={.status.conditions[?(@.type=="Established")].status}'
    answer = cluster.kubectl("get", "-f", str(CRD), "-o", path, check=False)
    return answer.stdout == "True"


def install_rights(cluster: Cluster, namespace: str) -> None:
    """Apply what the shipped manifests let the operator do, and nothing else of them."""
    rendered = cluster.kubectl("kustomize", str(ROOT / "manifests" / "base")).stdout
    wanted = [doc for doc in yaml.safe_load_all(rendered) if doc["kind"] in _RIGHTS]
    wanted.append(_reviewer(namespace))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(wanted))


def _reviewer(namespace: str) -> dict[str, Any]:
    """Make the shipped binding that of one namespace, as an overlay does."""
    file = ROOT / "manifests" / "reviewer" / "clusterrolebinding.yaml"
    binding: dict[str, Any] = yaml.safe_load(file.read_text())
    binding["metadata"]["name"] += f"-{namespace}"
    binding["subjects"][0]["namespace"] = namespace
    return binding


class Operator:
    """An operator process for one namespace (``also``: and more; ``everywhere``: for all).

    It has directories of its own, and can be stopped or killed and started again on them.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        also: Sequence[str] = (),
        everywhere: bool = False,
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._path = f"/apis/ade.dev/v1alpha1/namespaces/{namespace}/configbuilds"
        self.directory = directory
        self.sources = directory / "sources" / namespace
        self.venvs = directory / "venvs" / namespace
        self.logs = directory / "logs"
        self.log_file = directory / "operator.log"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = dict(settings or {})
        served = () if everywhere else (namespace, *also)
        self._scope = [f"--namespace={name}" for name in served]
        self._kubeconfig = cluster.service_account_kubeconfig(namespace, SERVICE_ACCOUNT)
        self.sources.mkdir(parents=True, exist_ok=True)

    @property
    def user(self) -> str:
        """Its name in the audit log."""
        return f"system:serviceaccount:{self.namespace}:{SERVICE_ACCOUNT}"

    @property
    def log(self) -> str:
        """What it has logged since its last start."""
        return self.log_file.read_text(errors="replace")

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "KUBECONFIG": str(self._kubeconfig),
            "ADE_VENVS_DIR": str(self.directory / "venvs"),
            "ADE_LOGS_DIR": str(self.logs),
            "ADE_CACHE_DIR": str(self.directory / "cache"),
            "ADE_SOURCES_DIR": str(self.directory / "sources"),
            # The few tests that are about callers and TLS say otherwise.
            "ADE_HTTP_HOST": "127.0.0.1",
            "ADE_AUTH": "off",
            "ADE_HTTP_PORT": "0",
            "ADE_GRACE_SECONDS": "2",
            **{name: os.environ[name] for name in ("SSL_CERT_FILE",) if name in os.environ},
            **self._settings,
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "configbuild.cli.main", "operator", *self._scope],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = wait_until(
            self._served_at, what="the operator is ready", timeout_s=START_TIMEOUT_S
        )

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def configure(self, **settings: str) -> None:
        """Set environment variables for the next start."""
        self._settings.update(settings)

    def apply(
        self,
        name: str,
        spec: Mapping[str, Any],
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Apply a ConfigBuild as its author would."""
        self.cluster.apply(f"{self._path}/{name}", _body(name, annotations or {}, spec=spec))

    def request(self, name: str, token: str) -> None:
        """Ask for a build by an annotation, whoever owns the rest of the object."""
        body = _body(name, {"ade.dev/request": token})
        self.cluster.apply(f"{self._path}/{name}", body, manager="asker")

    def get(self, name: str) -> dict[str, Any]:
        """Read a ConfigBuild."""
        body: dict[str, Any] = self.cluster.get(f"{self._path}/{name}")
        return body

    def get_all(self) -> dict[str, dict[str, Any]]:
        """Read all ConfigBuilds, by their names."""
        answer = self.cluster.get(self._path)
        return {body["metadata"]["name"]: body for body in answer["items"]}

    def event_reasons(self) -> list[str]:
        """Read the reasons of all Events."""
        return [event["reason"] for event in self.events()]

    def events(self) -> list[dict[str, Any]]:
        """Read all Events."""
        answer = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/events")
        return list(answer["items"])

    def wait_for(
        self, name: str, condition: str, *, timeout_s: float = 60.0, patient: bool = False
    ) -> dict[str, Any]:
        """Wait for a condition of the current generation to be True; returns the object.

        Who waits for Ready is told at once of an object that is stalled, unless ``patient``.
        """

        def holds() -> dict[str, Any] | None:
            body = self.get(name)
            row = condition_of(body, condition)
            current = row.get("observedGeneration") == body["metadata"]["generation"]
            if condition == "Ready" and not patient and current and condition_of(body, "Stalled"):
                raise TimeoutError(f"{name} is stalled")
            return body if row.get("status") == "True" and current else None

        try:
            return wait_until(holds, what=f"{name} is {condition}", timeout_s=timeout_s)
        except TimeoutError as error:
            status = json.dumps(self.get(name).get("status"), indent=1)
            raise AssertionError(f"{error}\n{status}\n{self.log[-4000:]}") from None

    def wait_at_rest(self, name: str) -> dict[str, Any]:
        """Wait until a build has succeeded and nothing more is written of it; returns the object.

        That is when its log is copied and its end is announced.
        """
        self.wait_for(name, "Ready")

        def rests() -> dict[str, Any] | None:
            body = self.get(name)
            copied = body["status"].get("log", {}).get("complete") is True
            return body if copied and "BuildSucceeded" in self.event_reasons() else None

        return wait_until(rests, what=f"{name} is at rest", timeout_s=60.0)

    def journal(self, build_id: str) -> list[dict[str, Any]]:
        """Read a build's events from disk."""
        path = self.logs / f"{build_id.removeprefix('build_').lower()}.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def client(
        self, token: str | None = None, *, trust: ssl.SSLContext | None = None
    ) -> httpx.Client:
        """Make an HTTP client for its API that shows a token, and trusts whom it is told to."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, verify=trust or True, timeout=60.0)

    def _served_at(self) -> str | None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the operator ended: {self.log}")
        found = re.search(r"HTTP API at (https?://[^\s\"]+)", self.log)
        if found is None:
            return None
        url = found[1].replace("//0.0.0.0:", "//127.0.0.1:")
        # Whether its certificate is good is for the tests to say.
        answer = httpx.get(url + "/readyz", verify=False)
        return url if answer.is_success else None

    def _end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=START_TIMEOUT_S)
        self.process = None
        return code


def _body(name: str, annotations: Mapping[str, str], **rest: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {"name": name, "annotations": annotations},
        **rest,
    }


def condition_of(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Find a condition of an object; empty if it is absent."""
    rows = body.get("status", {}).get("conditions", [])
    return next((row for row in rows if row["type"] == kind), {})
