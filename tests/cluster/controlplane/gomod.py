"""The versions of the control plane, read from `go/go.mod`: the only place for them."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

MODULE_DIRECTORY = Path(__file__).parent / "go"

# Go's names for what Python's platform module calls otherwise.
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Versions as go.mod pins them, for the machine at hand."""

    go: tuple[int, int]
    """Lowest Go that may build it: major, minor."""
    kubernetes: str
    """With the leading v, as in `v1.37.2`."""
    etcd: str
    """With the leading v."""
    os: str
    """Go's name of the operating system."""
    arch: str
    """Go's name of the architecture."""

    @property
    def cache_key(self) -> str:
        """Name of the directory that holds programs of exactly these versions."""
        return f"kubernetes-{self.kubernetes}-etcd-{self.etcd}-{self.os}-{self.arch}"


def read_pins(go_mod: Path = MODULE_DIRECTORY / "go.mod") -> Pins:
    """Read the pins, and add the operating system and architecture of this machine.

    Raises:
        ValueError: `go_mod` lacks one of the versions.
    """
    text = go_mod.read_text()
    major, minor = _find(r"^go (\d+)\.(\d+)", text, go_mod)
    machine = platform.machine()
    return Pins(
        go=(int(major), int(minor)),
        kubernetes=pinned("k8s.io/kubernetes", go_mod),
        etcd=pinned("go.etcd.io/etcd/server/v3", go_mod),
        os=platform.system().lower(),
        arch=_GO_ARCHITECTURES.get(machine, machine),
    )


def pinned(module: str, go_mod: Path) -> str:
    """Read at which version, with the leading v, `go_mod` pins a module.

    Raises:
        ValueError: it does not.
    """
    pattern = rf"^\s*(?:require )?{re.escape(module)} (v\S+)"
    (version,) = _find(pattern, go_mod.read_text(), go_mod)
    return version


def _find(pattern: str, text: str, source: Path) -> tuple[str, ...]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise ValueError(f"{source} has no line like {pattern!r}")
    return match.groups()
