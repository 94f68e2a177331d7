"""Find the definitions in the user's cache, or have Go download the modules that hold them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.controlplane import AssetsError
from tests.cluster.controlplane.assets import cache_root
from tests.cluster.controlplane.filelock import locked
from tests.cluster.controlplane.gomod import pinned, read_pins
from tests.cluster.controlplane.gotoolchain import find_go
from tests.cluster.controlplane.progress import Report, heartbeat, to_stderr

MODULE_DIRECTORY = Path(__file__).parent / "go"
GO_MOD = MODULE_DIRECTORY / "go.mod"

_PROMETHEUS = "example/prometheus-operator-crd/monitoring.coreos.com"

# By module, where they are in it.
DEFINITIONS = {
    "github.com/cert-manager/cert-manager": ["deploy/crds/cert-manager.io_certificates.yaml"],
    "github.com/prometheus-operator/prometheus-operator": [
        f"{_PROMETHEUS}_servicemonitors.yaml",
        f"{_PROMETHEUS}_prometheusrules.yaml",
    ],
}


def find_or_fetch(
    *, environ: Mapping[str, str] | None = None, report: Report = to_stderr
) -> list[Path]:
    """Return the files of the definitions; a download of some seconds, once per user and version.

    Raises:
        AssetsError: no Go could be had, or a module could not be downloaded; with what Go said.
    """
    versions = {module: pinned(module, GO_MOD) for module in DEFINITIONS}
    cache = cache_root(os.environ if environ is None else environ)
    home = cache / "-".join(
        ["definitions", *(f"{module.rpartition('/')[2]}-{versions[module]}" for module in versions)]
    )
    files = [home / Path(path).name for paths in DEFINITIONS.values() for path in paths]
    with locked(cache / f"{home.name}.lock", report=report):
        if not all(file.exists() for file in files):
            _fetch(versions, home, cache, report)
    return files


def _fetch(versions: Mapping[str, str], home: Path, cache: Path, report: Report) -> None:
    go = find_go(read_pins(), cache, report=report)
    home.mkdir(parents=True, exist_ok=True)
    with heartbeat("downloading the modules with others' CustomResourceDefinitions", report):
        for module, version in versions.items():
            directory = _download(go, f"{module}@{version}")
            for path in DEFINITIONS[module]:
                target = home / Path(path).name
                partial = target.with_suffix(".partial")
                shutil.copyfile(directory / path, partial)
                partial.replace(target)


def _download(go: Path, wanted: str) -> Path:
    """Have Go bring a module, whose hash has to be that of go.sum; returns its folder."""
    result = subprocess.run(
        [str(go), "mod", "download", "-json", wanted],
        cwd=MODULE_DIRECTORY,
        env={**os.environ, "GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise AssetsError(f"go mod download {wanted}: {result.stderr or result.stdout}")
    return Path(json.loads(result.stdout)["Dir"])
