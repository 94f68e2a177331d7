"""Where Helm comes from; with a fake Go, nothing is built for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster.controlplane import AssetsError
from tests.cluster.helm import find_or_build_helm
from tests.unit.test_controlplane_assets import put_fake_go, quiet


def test_helm_is_built_once_and_kept_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fake_go(tmp_path, build='echo "$@" > "$out"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    lines: list[str] = []

    program = find_or_build_helm(environ=environ, report=lines.append)

    words = program.read_text()
    assert "helm.sh/helm/v4/cmd/helm" in words
    version = program.parent.name.split("-")[1]
    assert f"internal/version.version={version}" in words
    assert any(f"building helm {version}" in line for line in lines)
    put_fake_go(tmp_path, build="exit 1")
    assert find_or_build_helm(environ=environ, report=quiet) == program


def test_failed_build_of_helm_tells_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fake_go(tmp_path, build='echo "checksum mismatch" >&2; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with pytest.raises(AssetsError, match=r"helm exited with 1(.|\n)*checksum mismatch"):
        find_or_build_helm(environ={"XDG_CACHE_HOME": str(tmp_path)}, report=quiet)
