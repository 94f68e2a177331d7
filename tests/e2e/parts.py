"""Find or build the node's programs; the same cache as the control plane's, keyed by version."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.controlplane import Assets, find_or_build
from tests.cluster.controlplane.assets import cache_root
from tests.cluster.controlplane.build import Workshop, compile_package, version_variables
from tests.cluster.controlplane.filelock import locked
from tests.cluster.controlplane.gomod import MODULE_DIRECTORY, Pins, pinned, read_pins
from tests.cluster.controlplane.gotoolchain import find_go
from tests.cluster.controlplane.progress import Report, heartbeat

GO_MODULE = Path(__file__).parent / "go"

# Of the system, with the Debian package that has each.
SYSTEM = {
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "unshare": "util-linux",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}

_KUBERNETES = ("kubelet", "kube-scheduler", "kube-proxy")
_CONTAINERD_MODULE = "github.com/containerd/containerd/v2"
_CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")
PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The control plane's programs, and the directory that holds the node's."""

    assets: Assets
    directory: Path

    def program(self, name: str) -> Path:
        return self.directory / name


def missing_packages() -> list[str]:
    """Name the Debian packages whose programs this machine lacks."""
    return sorted({package for program, package in SYSTEM.items() if not shutil.which(program)})


def parts_directory(
    environ: Mapping[str, str], pins: Pins, go_mod: Path = GO_MODULE / "go.mod"
) -> Path:
    """Tell where the programs of exactly these versions are kept."""
    versions = f"kubernetes-{pins.kubernetes}-containerd-{pinned(_CONTAINERD_MODULE, go_mod)}"
    return cache_root(environ) / f"node-{versions}-{pins.os}-{pins.arch}"


def find_parts(*, report: Report) -> Parts:
    """Return all programs, building (minutes, once per user and version) what is not there yet.

    Raises:
        AssetsError: no Go could be had, or a build failed.
    """
    assets = find_or_build(report=report)
    pins = read_pins()
    directory = parts_directory(os.environ, pins)
    with locked(directory.with_name(directory.name + ".lock"), report=report):
        missing = [
            name
            for name in (*_CONTAINERD, *_KUBERNETES, PAUSE)
            if not os.access(directory / name, os.X_OK)
        ]
        if missing:
            _build(missing, directory, pins, report)
    return Parts(assets=assets, directory=directory)


def _build(names: list[str], directory: Path, pins: Pins, report: Report) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory.with_name(directory.name + ".log")
    go = find_go(pins, directory.parent, report=report)
    report(f"building {', '.join(names)} into {directory}: some 5 minutes, the first time only")
    workshop = Workshop(go=go, pins=pins, log=log)
    for number, name in enumerate(names, start=1):
        with heartbeat(f"building {name} ({number} of {len(names)}; log: {log})", report):
            _build_program(workshop, name, directory / name)


def _build_program(workshop: Workshop, name: str, target: Path) -> None:
    if name in _KUBERNETES:
        package, module = f"k8s.io/kubernetes/cmd/{name}", MODULE_DIRECTORY
        variables = version_variables(workshop.pins.kubernetes)
    elif name == PAUSE:
        package, module, variables = "./pause", GO_MODULE, {}
    else:
        package, module = f"{_CONTAINERD_MODULE}/cmd/{name}", GO_MODULE
        version = pinned(_CONTAINERD_MODULE, GO_MODULE / "go.mod")
        variables = {f"{_CONTAINERD_MODULE}/version.Version": version}
    # Snapshotters that want C libraries or kernel modules; overlayfs is all that is used.
    tags = ("no_btrfs", "no_devmapper", "no_zfs") if name in _CONTAINERD else ()
    compile_package(workshop, package, target, module=module, variables=variables, tags=tags)
