"""A workshop in a test's own directory, and attempts at builds of source trees there."""

from __future__ import annotations

import asyncio
import ensurepip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configbuild.builds.attempt import Attempt
from configbuild.builds.state import Declared
from configbuild.builds.workshop import Reader, Workshop, make_reader, make_workshop
from configbuild.interpreters import probe
from configbuild.journal import Journals
from configbuild.layout import BuildPaths
from configbuild.model import BuildId, ConfigKey, Trigger
from configbuild.settings import Settings
from configbuild.sources import ConfigMapContent
from tests.packages import write_package

KEY = ConfigKey("team-a", "invoices")


class NoConfigMaps:
    """Every source here is a path."""

    async def get(self, namespace: str, name: str) -> ConfigMapContent | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where tests build."""

    sources: Path
    reader: Reader
    workshop: Workshop
    journals: Journals

    @classmethod
    async def at(cls, directory: Path, *python_bins: Path) -> Bench:
        settings = Settings(
            venvs_dir=directory / "venvs",
            logs_dir=directory / "logs",
            cache_dir=directory / "cache",
            sources_dir=directory / "sources",
            python_bins=python_bins,
            grace_seconds=1,
        )
        interpreters = await probe([settings.python_bin, *settings.python_bins])
        bench = cls(
            sources=settings.layout.namespace_sources(KEY.namespace),
            reader=make_reader(settings, interpreters, NoConfigMaps()),
            workshop=make_workshop(settings),
            journals=Journals(settings.layout.logs),
        )
        write_package(bench.sources / "engine", "ade-engine")
        write_package(bench.sources / "config", "ade-config")
        return bench

    async def attempt(
        self, *, key: ConfigKey = KEY, trigger: Trigger = Trigger.INITIAL, **spec: Any
    ) -> Attempt:
        """Make an attempt at what a spec declares; it has not begun."""
        declared = Declared(
            key=key,
            uid="uid-1",
            generation=1,
            spec={"engine": {"path": "engine"}, "config": {"path": "config"}, **spec},
        )
        wanted = await self.reader.read(declared)
        build_id = BuildId.new()
        journal = await asyncio.to_thread(self.journals.create, build_id)
        return Attempt(self.workshop.request(wanted, build_id, trigger), journal)

    def paths(self, attempt: Attempt) -> BuildPaths:
        return attempt.request.paths

    def output(self, attempt: Attempt) -> list[str]:
        return [
            event.body.message for event in self.events(attempt) if event.body.TYPE == "build.log"
        ]

    def events(self, attempt: Attempt) -> list[Any]:
        return list(self.journals.events(attempt.record.id))


def leftovers(paths: BuildPaths) -> list[Path]:
    """What a build that did not succeed should not have left."""
    return [path for path in (paths.venv, paths.scratch) if os.path.lexists(path)]


def wheel_of(tree: Path, house: Path, name: str) -> None:
    """Build a tree's wheel here, by calling its back end."""
    names: dict[str, object] = {}
    here = Path.cwd()
    os.chdir(tree)
    try:
        exec((tree / "backend.py").read_text(), names)
        build_wheel = names["build_wheel"]
        assert callable(build_wheel)
        build_wheel(str(house))
    finally:
        os.chdir(here)
    assert list(house.glob(f"{name.replace('-', '_')}-*.whl"))


def add_what_pip_upgrades(house: Path, packages: Path) -> None:
    """Put pip's wheel into a folder, which Python brings along, and what stands for the rest."""
    bundled = Path(ensurepip.__file__).with_name("_bundled")
    for wheel in bundled.glob("pip-*.whl"):
        (house / wheel.name).write_bytes(wheel.read_bytes())
    for name in ("setuptools", "wheel"):
        wheel_of(write_package(packages / name, name), house, name)
