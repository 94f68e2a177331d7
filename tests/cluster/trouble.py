"""What tests of an API server in trouble share: how to prepare an operator, and make trouble."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.cluster.controlplane import Cluster, ControlPlane, wait_until
from tests.cluster.operation import CRD, Operator, install_rights
from tests.packages import write_package
from tests.waits import Gate

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}
SLOW = {**SPEC, "config": {"path": "slow"}}

# What an operator does by itself once the API server is back; kopf waits up to 21 s.
SOON_S = 30.0

Prepare: TypeAlias = Callable[..., Operator]
"""Takes a cluster, and settings by their environment variables."""


@contextmanager
def preparing(directory: Path) -> Iterator[Prepare]:
    """Give a function that makes an operator, not started; at the end it is killed."""
    with ExitStack() as ends:

        def make(cluster: Cluster, **settings: str) -> Operator:
            namespace = cluster.create_namespace("trouble")
            ends.callback(_delete_namespace, cluster, namespace)
            install_rights(cluster, namespace)
            operator = Operator(cluster, namespace, directory, settings=settings)
            for name in ("engine", "config"):
                write_package(operator.sources / name, f"ade-{name}")
            ends.callback(_end, operator)
            return operator

        yield make


def mend(plane: ControlPlane) -> None:
    """Have all of a control plane run and serve the CRD, whatever was done to it."""
    os.kill(plane.pids["etcd"], signal.SIGCONT)
    plane.resume_apiserver()
    if not plane.ready():
        plane.restart_apiserver()
    serve_crd(plane)


def serve_crd(cluster: Cluster) -> None:
    """Apply the CRD and wait until objects can be listed."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    wait_until(
        lambda: cluster.kubectl("get", "configbuilds", "-A", check=False).returncode == 0,
        what="the CRD is served",
        timeout_s=SOON_S,
    )


def _delete_namespace(cluster: Cluster, namespace: str) -> None:
    if cluster.ready():
        cluster.delete_namespace(namespace)


def _end(operator: Operator) -> None:
    if operator.process is not None:
        operator.kill()
    print(operator.log)


def slow_config(operator: Operator, tmp_path: Path, *, daemon: bool = False) -> Gate:
    """Make the config `slow`, whose build may start a daemon and waits until the gate is opened."""
    gate = Gate(tmp_path / "gate")
    code = gate.daemon_and_wait_code if daemon else gate.wait_code
    write_package(operator.sources / "slow", "ade-config", while_building=code)
    return gate


def crash(plane: ControlPlane) -> None:
    """Kill the API server, which stays down until `restart_apiserver`."""
    os.kill(plane.pids["kube-apiserver"], signal.SIGKILL)
    wait_until(lambda: not plane.ready(), what="the API server is down", timeout_s=SOON_S)
