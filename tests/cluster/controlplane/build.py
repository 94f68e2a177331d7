"""Build the control plane's programs from the Go modules that `go/go.sum` pins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
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
    """Build one of the control plane's programs."""
    compile_package(
        workshop,
        PACKAGES[name],
        target,
        module=MODULE_DIRECTORY,
        variables=version_variables(workshop.pins.kubernetes),
    )


def compile_package(
    workshop: Workshop,
    package: str,
    target: Path,
    *,
    module: Path,
    variables: Mapping[str, str],
    tags: Sequence[str] = (),
) -> None:
    """Build one package under another name and rename it when it is complete.

    `module` is the folder whose go.mod and go.sum pin it; `variables` are Go's, set by the linker;
    `tags` say which files of the sources count.

    Raises:
        AssetsError: it was not built; the message has the log's tail.
    """
    partial = target.with_name(target.name + _PARTIAL)
    with workshop.log.open("ab") as log:
        result = subprocess.run(
            _argv(workshop.go, package, partial, variables=variables, tags=tags),
            cwd=module,
            env=_environment(workshop.pins),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode != 0:
        raise AssetsError(
            f"go build of {target.name} exited with {result.returncode}; end of {workshop.log}:\n"
            f"{tail(workshop.log)}"
        )
    partial.replace(target)


def _argv(
    go: Path, package: str, output: Path, *, variables: Mapping[str, str], tags: Sequence[str]
) -> list[str]:
    # No debug tables.
    flags = ["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())]
    return [
        str(go),
        "build",
        "-mod=readonly",  # go.sum is checked in: a build that wants to change it is wrong
        "-trimpath",
        f"-ldflags={' '.join(flags)}",
        f"-tags={','.join(tags)}",
        f"-o={output}",
        package,
    ]


def version_variables(version: str) -> dict[str, str]:
    """Have Kubernetes' programs say their version, or they say v0.0.0."""
    major, minor, _ = version.removeprefix("v").split(".", maxsplit=2)
    package = "k8s.io/component-base/version"
    return {
        f"{package}.gitVersion": version,
        f"{package}.gitMajor": major,
        f"{package}.gitMinor": minor,
    }


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
