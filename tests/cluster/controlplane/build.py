"""Build the control plane's programs from the Go modules that `go/go.sum` pins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import AssetsError
from .gomod import MODULE_DIRECTORY, Pins
from .gotoolchain import find_go
from .logtail import tail
from .progress import Report, heartbeat

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What each build of a program needs to know."""

    go: Path
    pins: Pins
    log: Path


def build_programs(names: Sequence[str], *, into: Path, pins: Pins, report: Report) -> None:
    """Build `names` one after the other; each appears in `into` complete or not at all.

    The caller holds the lock of `into`. Needs about 4 GB in Go's own build cache.

    Raises:
        AssetsError: no Go could be had, or a build failed.
    """
    into.mkdir(parents=True, exist_ok=True)
    for leftover in into.glob(f"*{_PARTIAL}"):
        leftover.unlink()
    report(
        f"building {', '.join(names)} into {into}: about 11 minutes for all four on two cores, "
        "the first time only"
    )
    log = into.parent / f"{into.name}.log"
    workshop = Workshop(go=find_go(pins, into.parent, report=report), pins=pins, log=log)
    for number, name in enumerate(names, start=1):
        with heartbeat(f"building {name} ({number} of {len(names)}; log: {log})", report):
            build_program(workshop, name, into / name)


def build_program(workshop: Workshop, name: str, target: Path) -> None:
    """Build one program under another name and rename it when it is complete."""
    partial = target.with_name(target.name + _PARTIAL)
    with workshop.log.open("ab") as log:
        result = subprocess.run(
            _argv(workshop, name, partial),
            cwd=MODULE_DIRECTORY,
            env=_environment(workshop.pins),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode != 0:
        raise AssetsError(
            f"go build of {name} exited with {result.returncode}; end of {workshop.log}:\n"
            f"{tail(workshop.log)}"
        )
    partial.replace(target)


def _argv(workshop: Workshop, name: str, output: Path) -> list[str]:
    return [
        str(workshop.go),
        "build",
        "-mod=readonly",  # go.sum is checked in: a build that wants to change it is wrong
        "-trimpath",
        f"-ldflags={_ldflags(workshop.pins.kubernetes)}",
        f"-o={output}",
        PACKAGES[name],
    ]


def _ldflags(version: str) -> str:
    """Return linker flags: no debug tables, and the version (else it says v0.0.0)."""
    major, minor, _ = version.removeprefix("v").split(".", maxsplit=2)
    package = "k8s.io/component-base/version"
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {package}.{name}={v}" for name, v in values.items())])


def _environment(pins: Pins) -> dict[str, str]:
    """Return the user's environment (module proxy, caches) with what decides the result fixed."""
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOOS": pins.os,
        "GOARCH": pins.arch,
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",  # find_go has chosen one; never download another on the way
    }
