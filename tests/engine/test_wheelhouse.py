"""``ADE_WHEELHOUSE`` where there is no network at all, by the kernel: see :mod:`.cut_off`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import add_what_pip_upgrades, wheel_of
from tests.generated import ROOT
from tests.packages import write_package

# Also without root, where the system lets everybody make user namespaces.
CUT_OFF = ("unshare", "--map-root-user", "--net")

pytestmark = pytest.mark.skipif(
    os.environ.get("CI") != "true"
    and subprocess.run([*CUT_OFF, "true"], capture_output=True, check=False).returncode != 0,
    reason="no network namespace may be made here; in CI there has to be one",
)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A wheelhouse with the config, and with all that pip brings up to date first."""
    made = tmp_path / "house"
    made.mkdir()
    wheel_of(write_package(tmp_path / "dependency", "ade-config"), made, "ade-config")
    add_what_pip_upgrades(made, tmp_path / "packages")
    return made


# Without a sandbox too: it is the kernel that closes the network here, and not the cage.
@pytest.mark.parametrize(("installer", "sandbox"), [("uv", "on"), ("uv", "off"), ("pip", "on")])
def test_wheelhouse_is_all_that_a_build_needs(
    tmp_path: Path, house: Path, installer: str, sandbox: str
) -> None:
    told = _build_cut_off(tmp_path / "build", installer, sandbox, str(house))

    assert told["status"] == "active", told
    assert told["installed"] == ["ade_config-1.0.0.dist-info"]


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_same_build_fails_without_the_wheelhouse(tmp_path: Path, installer: str) -> None:
    told = _build_cut_off(tmp_path / "build", installer, "on")

    assert (told["status"], told["reason"]) == ("failed", "IndexUnreachable"), told
    assert told["installed"] == []


def _build_cut_off(directory: Path, *arguments: str) -> dict[str, Any]:
    directory.mkdir()
    argv = [*CUT_OFF, sys.executable, "-m", "tests.engine.cut_off", str(directory), *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
