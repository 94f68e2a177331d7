"""Find the control plane's programs: KUBEBUILDER_ASSETS, the user's cache, or a build."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import build
from .filelock import locked
from .gomod import Pins, read_pins
from .progress import Report, to_stderr

# The variable of controller-runtime's envtest: who has its programs already needs no build.
ENVTEST_VARIABLE = "KUBEBUILDER_ASSETS"


@dataclass(frozen=True, slots=True)
class Assets:
    """A directory that holds the four programs."""

    directory: Path

    @property
    def etcd(self) -> Path:
        return self.directory / "etcd"

    @property
    def kube_apiserver(self) -> Path:
        return self.directory / "kube-apiserver"

    @property
    def kube_controller_manager(self) -> Path:
        return self.directory / "kube-controller-manager"

    @property
    def kubectl(self) -> Path:
        return self.directory / "kubectl"

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the programs that are not there, or not executable."""
        programs = (self.etcd, self.kube_apiserver, self.kube_controller_manager, self.kubectl)
        return tuple(p.name for p in programs if not (p.is_file() and os.access(p, os.X_OK)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Where the programs are, if anywhere, and what people should know about the search."""

    assets: Assets | None
    notes: tuple[str, ...] = ()


def find_or_build(
    *, environ: Mapping[str, str] | None = None, report: Report = to_stderr
) -> Assets:
    """Return the four programs, building them (minutes, once per user and version) if need be.

    Two processes never build at the same time: the second waits and uses what the
    first has built. An interrupted build leaves finished programs, never half of one.

    Raises:
        AssetsError: no Go could be had, or a build failed; the message has the log's tail.
    """
    environ = os.environ if environ is None else environ
    pins = read_pins()
    cache = cache_root(environ)
    found = look_up(environ, cache, pins)
    for note in found.notes:
        report(note)
    if found.assets is not None:
        return found.assets
    return _build(Assets(cache / pins.cache_key), pins, report)


def look_up(environ: Mapping[str, str], cache: Path, pins: Pins) -> Lookup:
    """Look for the programs without building: first envtest's variable, then the cache."""
    notes: tuple[str, ...] = ()
    if chosen := environ.get(ENVTEST_VARIABLE):
        assets = Assets(Path(chosen))
        if not assets.missing:
            return Lookup(assets=assets)
        lacks = ", ".join(assets.missing)
        notes = (f"{ENVTEST_VARIABLE}={chosen} lacks {lacks}: looking in {cache} instead",)
    cached = Assets(cache / pins.cache_key)
    return Lookup(assets=None if cached.missing else cached, notes=notes)


def cache_root(environ: Mapping[str, str]) -> Path:
    """Return this user's cache directory for control planes (XDG base directories)."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # unset, empty or relative: the specification says to ignore it
        base = Path.home() / ".cache"
    return base / "configbuild" / "controlplane"


def _build(assets: Assets, pins: Pins, report: Report) -> Assets:
    cache = assets.directory.parent
    with locked(cache / f"{pins.cache_key}.lock", report=report):
        if missing := assets.missing:  # else another run has built them while we waited
            build.build_programs(missing, into=assets.directory, pins=pins, report=report)
    return assets
