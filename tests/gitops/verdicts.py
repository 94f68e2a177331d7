"""Build and ask `go/`, a small program that holds what Argo CD and Flux judge objects with.

It is built once per user and version, as the control plane is:
``python -m tests.gitops.verdicts`` builds it now.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.controlplane.assets import cache_root
from tests.cluster.controlplane.errors import AssetsError
from tests.cluster.controlplane.filelock import locked
from tests.cluster.controlplane.gomod import Pins, read_pins
from tests.cluster.controlplane.gotoolchain import find_go
from tests.cluster.controlplane.logtail import tail
from tests.cluster.controlplane.progress import Report, heartbeat, to_stderr

ROOT = Path(__file__).parents[2]
MODULE = Path(__file__).parent / "go"
GITOPS = ROOT / "gitops"
LUA = GITOPS / "argocd" / "ade.dev" / "ConfigBuild"

# It answers within a second; this ends one that hangs.
PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was said of one object: a value, or why there is none."""

    value: Any
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What each tool said of one object."""

    health: Said
    discovery: Said
    actions: Mapping[str, Said]
    flux: Said
    kstatus: Said


def ask(objects: Sequence[Mapping[str, Any]], *, health: str | None = None) -> list[Verdict]:
    """Ask of every object, by the scripts and expressions that are shipped.

    ``health`` is a script to run instead of the shipped one.
    """
    request = {
        "objects": objects,
        "health": health or (LUA / "health.lua").read_text(),
        "discovery": (LUA / "actions" / "discovery.lua").read_text(),
        "actions": action_scripts(),
        "expressions": expressions(),
    }
    done = subprocess.run(
        [find_or_build()],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [_verdict(row) for row in json.loads(done.stdout)]


def action_scripts() -> dict[str, str]:
    """Read the shipped resource actions, by their names."""
    return {file.parent.name: file.read_text() for file in sorted(LUA.glob("actions/*/action.lua"))}


def expressions() -> dict[str, str]:
    """Read the expressions out of the shipped sample for Flux."""
    documents = yaml.safe_load_all((GITOPS / "samples" / "flux" / "sync.yaml").read_text())
    found = [
        check
        for document in documents
        for check in document["spec"].get("healthCheckExprs", [])
        if check["kind"] == "ConfigBuild"
    ]
    assert found
    assert all(check == found[0] for check in found)
    return {name: found[0][name] for name in ("inProgress", "failed", "current")}


def find_or_build(*, report: Report = to_stderr) -> Path:
    """Return the program, building it first if this user has none of these sources.

    Raises:
        AssetsError: no Go could be had, or the build failed; the message has the log's tail.
    """
    pins = read_pins()
    cache = cache_root(os.environ).parent / "gitops"
    program = cache / f"verdicts-{_digest()}-{pins.os}-{pins.arch}"
    with locked(cache / "verdicts.lock", report=report):
        if not program.exists():
            _build(program, pins, report)
    return program


def _build(program: Path, pins: Pins, report: Report) -> None:
    go = find_go(pins, cache_root(os.environ), report=report)
    log = program.with_suffix(".log")
    partial = program.with_suffix(".partial")
    argv = [str(go), "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
    with (
        heartbeat(f"building {program.name}: about two minutes, the first time only", report),
        log.open("wb") as output,
    ):
        result = subprocess.run(
            [*argv, f"-o={partial}", "."],
            cwd=MODULE,
            env={
                **os.environ,
                "CGO_ENABLED": "0",
                "GOOS": pins.os,
                "GOARCH": pins.arch,
                "GOWORK": "off",
                "GOTOOLCHAIN": "local",  # find_go has chosen one
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode != 0:
        raise AssetsError(f"go build exited with {result.returncode}; end of {log}:\n{tail(log)}")
    partial.replace(program)


def _digest() -> str:
    sources = sorted(file for file in MODULE.iterdir() if file.suffix in (".go", ".mod", ".sum"))
    digest = hashlib.sha256()
    for file in sources:
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        health=_said(row["health"]),
        discovery=_said(row["discovery"]),
        actions={name: _said(said) for name, said in row["actions"].items()},
        flux=_said(row["flux"]),
        kstatus=_said(row["kstatus"]),
    )


def _said(row: Mapping[str, Any]) -> Said:
    return Said(value=row.get("value"), error=row.get("error"))


if __name__ == "__main__":
    print(find_or_build())
