"""Find Helm in the user's cache, or build it there; its version is in `go/go.mod` alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.controlplane.assets import cache_root
from tests.cluster.controlplane.build import Workshop, compile_package
from tests.cluster.controlplane.filelock import locked
from tests.cluster.controlplane.gomod import pinned, read_pins
from tests.cluster.controlplane.gotoolchain import find_go
from tests.cluster.controlplane.progress import Report, heartbeat, to_stderr

MODULE_DIRECTORY = Path(__file__).parent / "go"
MODULE = "helm.sh/helm/v4"


def find_or_build_helm(
    *, environ: Mapping[str, str] | None = None, report: Report = to_stderr
) -> Path:
    """Return the program `helm`, building it (minutes, once per user and version) if need be.

    Two processes never build at the same time; an interrupted build leaves nothing.

    Raises:
        AssetsError: no Go could be had, or the build failed; the message has the log's tail.
    """
    pins = read_pins()
    version = pinned(MODULE, MODULE_DIRECTORY / "go.mod")
    cache = cache_root(os.environ if environ is None else environ)
    home = cache / f"helm-{version}-{pins.os}-{pins.arch}"
    program = home / "helm"
    if program.exists():
        return program
    with locked(cache / f"{home.name}.lock", report=report):
        if not program.exists():  # else another run has built it while we waited
            home.mkdir(parents=True, exist_ok=True)
            log = cache / f"{home.name}.log"
            workshop = Workshop(go=find_go(pins, cache, report=report), pins=pins, log=log)
            what = f"building helm {version}, once, some minutes on two cores (log: {log})"
            with heartbeat(what, report):
                compile_package(
                    workshop,
                    f"{MODULE}/cmd/helm",
                    program,
                    module=MODULE_DIRECTORY,
                    # Or it calls itself the first of its major version.
                    variables={f"{MODULE}/internal/version.version": version},
                )
    return program
