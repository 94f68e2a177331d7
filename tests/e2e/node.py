"""One node: a control plane, containerd, kubelet, kube-scheduler, kube-proxy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import Cluster, ControlPlane, wait_until
from tests.cluster.controlplane.certs import KeyPair
from tests.cluster.controlplane.component import Component
from tests.cluster.controlplane.kubeconfig import certificate_user, write_kubeconfig
from tests.cluster.controlplane.layout import Layout
from tests.e2e import configuration
from tests.e2e.configuration import NODE
from tests.e2e.errors import E2eError
from tests.e2e.parts import Parts

# 15 s on two idle cores.
READY_TIMEOUT_S = 180.0
GRACE_S = 5.0


class Node:
    """What runs, and where it has its files."""

    def __init__(self, parts: Parts, plane: ControlPlane, directory: Path) -> None:
        self.cluster: Cluster = plane
        self.parts = parts
        self.directory = directory
        self.volume = directory / "volume"
        self._plane = plane
        self._layout = Layout(plane.directory)
        self._components: list[Component] = []

    def launch(self) -> None:
        """Start every part, and wait until the node is Ready.

        Raises:
            E2eError: a part ended, or the node did not become ready; with logs.
        """
        self.volume.mkdir()
        self._start_containerd()
        self._start_kubelet()
        layout, plane = self._layout, self._plane
        scheduler = self._kubeconfig("scheduler", layout.pki.scheduler)
        options = ["--leader-elect=false", "--secure-port=0"]
        self._start("kube-scheduler", f"--kubeconfig={scheduler}", *options)
        proxy = configuration.kube_proxy(self._kubeconfig("kube-proxy", layout.pki.kube_proxy))
        file = configuration.write(self.directory / "kube-proxy.json", proxy)
        self._start("kube-proxy", f"--config={file}")
        self._await(self._is_ready, what="the node is Ready")
        plane.kubectl("apply", "-f", "-", stdin=_json(configuration.volume(self.volume)))

    def import_image(self, archive: Path) -> None:
        """Bring an image in, since no registry is there to pull it from."""
        self.ctr("images", "import", str(archive))

    def ctr(self, *argv: str) -> str:
        """Ask containerd, in the kubelet's namespace of it."""
        command = [str(self.parts.program("ctr")), f"--address={configuration.CONTAINERD_SOCKET}"]
        done = subprocess.run(
            [*command, "--namespace=k8s.io", *argv], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise E2eError(f"ctr {' '.join(argv)} exited with {done.returncode}: {done.stderr}")
        return done.stdout

    def pid_of(self, container: str) -> int:
        """Find the first process of a container by its id, as the pod's status has it."""
        rows = [line.split() for line in self.ctr("tasks", "list").splitlines()]
        return next(int(row[1]) for row in rows if row[0] == container.rpartition("/")[2])

    def check(self) -> None:
        """Make sure that every part runs; :class:`E2eError` with the end of its log otherwise."""
        self._plane.check()
        for component in self._components:
            if not component.running:
                words = f"{component.name} exited with {component.exit_code}"
                raise E2eError(f"{words}; end of {component.log}:\n{component.log_tail()}")

    def logs(self) -> dict[str, str]:
        """Give the end of each part's log."""
        return {component.name: component.log_tail() for component in self._components}

    def stop(self) -> None:
        """End the parts, those first that would start again what the others end."""
        for component in reversed(self._components):
            component.stop(grace_s=GRACE_S)

    def _start_containerd(self) -> None:
        configuration.write(self.directory / "cni" / "10-e2e.conflist", configuration.cni())
        runc = shutil.which("runc") or "runc"
        text = configuration.containerd(self.directory, runc)
        file = configuration.write(self.directory / "containerd.toml", text)
        # containerd finds its shim there.
        os.environ["PATH"] = f"{self.parts.directory}:{os.environ['PATH']}"
        self._start("containerd", f"--config={file}")
        self._await(configuration.CONTAINERD_SOCKET.exists, what="containerd listens")

    def _start_kubelet(self) -> None:
        # Pods get no name server: none is reached from here, and nothing here needs one.
        configuration.write(self.directory / "resolv.conf", "options timeout:1\n")
        kubelet = configuration.kubelet(self.directory, self._layout.pki.ca)
        file = configuration.write(self.directory / "kubelet.json", kubelet)
        self._start(
            "kubelet",
            f"--config={file}",
            f"--kubeconfig={self._kubeconfig('node', self._layout.pki.node)}",
            f"--root-dir={self.directory / 'kubelet'}",
            f"--cert-dir={self.directory / 'kubelet-pki'}",
            f"--hostname-override={NODE.name}",
            f"--node-ip={NODE.address}",
        )

    def _kubeconfig(self, name: str, pair: KeyPair) -> Path:
        cluster = self.cluster
        path = self._layout.kubeconfig(name)
        return write_kubeconfig(path, url=cluster.url, ca=cluster.ca, user=certificate_user(pair))

    def _start(self, name: str, *options: str) -> None:
        argv = [str(self.parts.program(name)), *options]
        log = self._layout.log(name)
        self._components.append(Component(name, argv, log=log))

    def _is_ready(self) -> bool:
        nodes: list[dict[str, Any]] = self.cluster.get("/api/v1/nodes")["items"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", ())
        )

    def _await(self, question: Any, *, what: str) -> None:
        def answer() -> bool:
            self.check()
            return bool(question())

        try:
            wait_until(answer, what=what, timeout_s=READY_TIMEOUT_S)
        except TimeoutError as error:
            logs = "\n".join(f"{name}:\n{text}" for name, text in self.logs().items())
            raise E2eError(f"{error}\n{logs}") from None


@contextmanager
def running_node(parts: Parts, directory: Path, images: list[Path]) -> Iterator[Node]:
    """Run a node with these images; it is ended with the block."""
    with ExitStack() as up:
        assets = parts.assets
        start = ControlPlane.start(directory / "cluster", assets=assets, member=NODE)
        node = Node(parts, up.enter_context(start), directory)
        up.callback(node.stop)
        node.launch()
        for image in images:
            node.import_image(image)
        yield node


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body)
