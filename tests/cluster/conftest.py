"""Fixtures of all tests that want a real API server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages import write_package
from tests.waits import Gate

from .controlplane import Cluster, ControlPlane, find_or_build
from .controlplane.shared import shared_control_plane
from .operation import Operator, install_crd, install_rights
from .trouble import Prepare, mend, preparing, slow_config

# Under xdist the controller. Read early: a worker that was orphaned later would find init.
_PARENT = os.getppid()


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Cluster:
    """Return the control plane of this run, shared by all tests and all xdist workers.

    Never paused, restarted or stopped: a test that wants that starts a `ControlPlane`
    of its own (4 s). How it is shared, and how it ends: `controlplane/shared.py`.
    """
    base = tmp_path_factory.getbasetemp()
    if not hasattr(request.config, "workerinput"):
        return shared_control_plane(base, owner=os.getpid())
    # An xdist worker: its base directory lies in that of the run, which all workers share.
    return shared_control_plane(base.parent, owner=_PARENT)


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """Yield a namespace of the test's own; it is deleted afterwards, in the background."""
    name = control_plane.create_namespace("test")
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture(scope="session")
def crd(control_plane: Cluster) -> None:
    """Have the CRD served; the garbage collector takes a while to know it, so once a run."""
    install_crd(control_plane)


@pytest.fixture
def operator(
    control_plane: Cluster, crd: None, namespace: str, tmp_path: Path
) -> Iterator[Operator]:
    """Run an operator for the test's namespace, with an engine among its sources.

    Ended with the test, whatever became of it; its log is shown if the test fails.
    """
    install_rights(control_plane, namespace)
    operator = Operator(control_plane, namespace, tmp_path)
    write_package(operator.sources / "engine", "ade-engine")
    write_package(operator.sources / "config", "ade-config")
    operator.start()
    yield operator
    if operator.process is not None:
        operator.kill()
    print(operator.log)


@pytest.fixture
def gate(operator: Operator, tmp_path: Path) -> Gate:
    """Make the config `slow`, whose build waits until the gate is opened."""
    return slow_config(operator, tmp_path)


@pytest.fixture
def daemon_gate(operator: Operator, tmp_path: Path) -> Gate:
    """Make the config `slow`, whose build starts a daemon and waits; the gate tells the daemon."""
    return slow_config(operator, tmp_path, daemon=True)


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Start a control plane that may be ill-treated, one for all tests of a file."""
    with ControlPlane.start(
        tmp_path_factory.mktemp("own") / "plane", assets=find_or_build()
    ) as own:
        yield own


@pytest.fixture
def plane(own_plane: ControlPlane) -> ControlPlane:
    """Have it running, with the CRD served, whatever the test before did."""
    mend(own_plane)
    return own_plane


@pytest.fixture
def prepare(tmp_path: Path) -> Iterator[Prepare]:
    """Give a function that makes an operator with rights and sources, not started."""
    with preparing(tmp_path) as make:
        yield make
