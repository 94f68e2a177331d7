"""The files that are generated from the code: ``python -m tests.generated [--check]``.

Each is checked in, so that people and tools can read it without running anything; a test and
``make check`` compare it with what the code gives now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from configbuild.resource.crd import render_yaml
from configbuild.schemas import events_schema
from configbuild.web.openapi import openapi_json
from tests.argocd_patch import argocd_patch
from tests.cli_reference import cli_reference
from tests.typescript_types import typescript_types

ROOT = Path(__file__).parent.parent


def copy_of(name: str) -> Callable[[], str]:
    """Give a file as it is: a chart can hold none that lies outside of its folder."""
    return (ROOT / name).read_text


_PROMETHEUS = "manifests/components/prometheus/rules.yaml"
_GRAFANA = "manifests/components/grafana/board.json"

GENERATED: dict[str, Callable[[], str]] = {
    "charts/configbuild/crds/configbuilds.ade.dev.yaml": render_yaml,
    "charts/configbuild/files/board.json": copy_of(_GRAFANA),
    "charts/configbuild/files/rules.yaml": copy_of(_PROMETHEUS),
    "crds/configbuilds.ade.dev.yaml": render_yaml,
    "docs/cli.md": cli_reference,
    "docs/openapi.json": openapi_json,
    "docs/events.schema.json": events_schema,
    "docs/examples/typescript/types.ts": typescript_types,
    "gitops/argocd/argocd-cm.yaml": argocd_patch,
}


def stale() -> list[str]:
    """Name the files that are not what the code gives."""
    return [
        name
        for name, render in GENERATED.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != render()
    ]


def main(arguments: list[str]) -> int:
    """Write all files, or with ``--check`` only compare."""
    if arguments == ["--check"]:
        for name in stale():
            sys.stderr.write(f"{name} is not up to date: run `make generate`\n")
        return 1 if stale() else 0
    for name, render in GENERATED.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
