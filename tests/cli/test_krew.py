"""What krew installs: the manifest holds to krew's rules, and the script runs the package."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import ROOT

MAKE = ROOT / "deploy" / "krew" / "make.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("krew") / "dist"
    options = ("--version", "1.2.3", "--url", "https://example.com/v1.2.3/", "--out", str(out))
    subprocess.run([sys.executable, str(MAKE), *options], check=True)
    return out


def test_manifest_is_one_that_krew_takes(made: Path) -> None:
    plugin: dict[str, Any] = yaml.safe_load((made / "configbuild.yaml").read_text())
    assert plugin["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert plugin["kind"] == "Plugin"
    spec = plugin["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert len(spec["shortDescription"]) <= 50
    (platform,) = spec["platforms"]
    assert platform["uri"] == "https://example.com/v1.2.3/kubectl-configbuild.tar.gz"
    packed = (made / "kubectl-configbuild.tar.gz").read_bytes()
    assert platform["sha256"] == hashlib.sha256(packed).hexdigest()
    with tarfile.open(made / "kubectl-configbuild.tar.gz") as tar:
        assert {entry["from"] for entry in platform["files"]} == set(tar.getnames())
        # As a plugin's program has to be called: kubectl-NAME, dashes written as underscores.
        assert platform["bin"] == f"kubectl-{plugin['metadata']['name']}"
        assert tar.getmember(platform["bin"]).mode & 0o111


def test_archive_is_the_same_whenever_it_is_made(made: Path, tmp_path: Path) -> None:
    options = ("--version", "1.2.3", "--url", "https://example.com/v1.2.3/", "--out", str(tmp_path))
    subprocess.run([sys.executable, str(MAKE), *options], check=True)
    name = "kubectl-configbuild.tar.gz"
    assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


@pytest.mark.parametrize("tool", ["uv", "pipx"])
@pytest.mark.parametrize("name", ["kubectl-configbuild", "kubectl_complete-configbuild"])
def test_script_runs_the_package_in_its_version(
    made: Path, tmp_path: Path, tool: str, name: str
) -> None:
    with tarfile.open(made / "kubectl-configbuild.tar.gz") as tar:
        tar.extractall(tmp_path / "store", filter="data")
    # krew links to the program from its own folder.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(tmp_path / "store" / name)
    stand_in = tmp_path / "bin" / tool
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    (tmp_path / "bin" / "basename").symlink_to("/usr/bin/basename")
    done = subprocess.run(
        ["/bin/sh", tmp_path / "bin" / name, "logs", "a b"],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=True,
    )
    *how, program, first, second = done.stdout.splitlines()
    assert (program, first, second) == (name, "logs", "a b")
    assert "configbuild-operator==1.2.3" in how


def test_script_says_what_it_needs(made: Path, tmp_path: Path) -> None:
    with tarfile.open(made / "kubectl-configbuild.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    (tmp_path / "basename").symlink_to("/usr/bin/basename")
    done = subprocess.run(
        ["/bin/sh", tmp_path / "kubectl-configbuild"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs uv or pipx" in done.stderr
