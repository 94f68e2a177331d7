"""Fixtures of all tests that want a real API server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .controlplane import Cluster
from .controlplane.shared import shared_control_plane

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
