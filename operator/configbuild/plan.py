"""From a spec to the six steps with the argv of each of their commands. Pure.

A plan can be printed, compared and tested without running anything. What is known only while it
runs, the file name of a wheel, stands in it as :class:`~configbuild.installers.WheelIn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from configbuild.installers import (
    Access,
    InstallerCommands,
    PlannedCommand,
    Toolchain,
    WheelIn,
    commands_of,
)
from configbuild.layout import BuildPaths
from configbuild.model import (
    ArchiveSource,
    BuildSpec,
    ConfigMapSource,
    ConfigSource,
    GitSource,
    PathSource,
    RemoteSource,
    RequirementSource,
    Step,
)
from configbuild.steps import COLLECT_METADATA, VERIFY_IMPORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step: what it does in words, and its commands; or why it is skipped."""

    step: Step
    message: str
    commands: tuple[PlannedCommand, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All steps of a build, in their order."""

    steps: tuple[PlannedStep, ...]


def make_plan(spec: BuildSpec, *, paths: BuildPaths, tools: Toolchain) -> Plan:
    """Write down every command of a build."""
    installer = commands_of(spec.install, paths=paths, tools=tools)
    return Plan(
        steps=(
            *_fetch_config(spec),
            _create_venv(spec, installer, tools),
            _upgrade_pip(installer),
            _install_engine(spec, installer, paths),
            _install_config(spec, installer, paths),
            _verify_imports(spec, installer, paths),
            _collect_metadata(installer, paths, tools),
        )
    )


def _fetch_config(spec: BuildSpec) -> tuple[PlannedStep, ...]:
    """Plan to fetch a remote source; what runs for that is the source's own matter."""
    if not isinstance(spec.config, RemoteSource):
        return ()
    return (PlannedStep(step=Step.FETCH_CONFIG, message=f"Fetch config {_words(spec.config)}"),)


def _create_venv(spec: BuildSpec, installer: InstallerCommands, tools: Toolchain) -> PlannedStep:
    return PlannedStep(
        step=Step.CREATE_VENV,
        message=f"Create virtual environment with Python {tools.interpreter.version}"
        f" ({spec.install.installer})",
        commands=(installer.create_venv(),),
    )


def _upgrade_pip(installer: InstallerCommands) -> PlannedStep:
    message = "Upgrade pip, setuptools and wheel"
    commands = installer.upgrade_itself()
    if isinstance(commands, str):
        return PlannedStep(step=Step.UPGRADE_PIP, message=message, skipped=commands)
    return PlannedStep(step=Step.UPGRADE_PIP, message=message, commands=commands)


def _install_engine(
    spec: BuildSpec, installer: InstallerCommands, paths: BuildPaths
) -> PlannedStep:
    return PlannedStep(
        step=Step.INSTALL_ENGINE,
        message=f"Install engine {_words(spec.engine)}",
        commands=_install(
            spec.engine,
            installer,
            tree=paths.engine_tree,
            wheels=paths.engine_wheels,
            constraints=_constraints(spec, paths),
        ),
    )


def _install_config(
    spec: BuildSpec, installer: InstallerCommands, paths: BuildPaths
) -> PlannedStep:
    return PlannedStep(
        step=Step.INSTALL_CONFIG,
        message=f"Install config {_words(spec.config)}",
        commands=(
            *_install(
                spec.config,
                installer,
                tree=paths.config_tree,
                wheels=paths.config_wheels,
                constraints=(*_constraints(spec, paths), paths.engine_hold),
            ),
            *installer.compile(),
        ),
    )


def _verify_imports(
    spec: BuildSpec, installer: InstallerCommands, paths: BuildPaths
) -> PlannedStep:
    script = (str(paths.python), "-I", "-B", str(VERIFY_IMPORTS))
    verify = PlannedCommand(
        argv=(*script, str(paths.engine_facts), *spec.verify_imports), access=Access.INSPECT
    )
    return PlannedStep(
        step=Step.VERIFY_IMPORTS,
        message=f"Verify imports of {', '.join(spec.verify_imports)}",
        commands=(verify, installer.check()),
    )


def _collect_metadata(
    installer: InstallerCommands, paths: BuildPaths, tools: Toolchain
) -> PlannedStep:
    script = (str(tools.operator_python), "-I", "-S", "-B", str(COLLECT_METADATA))
    site_packages = paths.site_packages(tools.interpreter.minor)
    collect = PlannedCommand(
        argv=(*script, str(site_packages), str(paths.metadata), str(paths.pins)),
        access=Access.COLLECT,
        writes=(paths.metadata, paths.pins),
    )
    return PlannedStep(
        step=Step.COLLECT_METADATA,
        message="Collect metadata of everything installed",
        commands=(collect, *installer.look_up()),
    )


def _install(
    source: ConfigSource,
    installer: InstallerCommands,
    *,
    tree: Path,
    wheels: Path,
    constraints: tuple[Path, ...],
) -> tuple[PlannedCommand, ...]:
    if isinstance(source, RequirementSource):
        return installer.install(source.requirement, constraints)
    return (
        installer.build_wheel(tree, wheels),
        *installer.install(WheelIn(wheels), constraints),
    )


def _constraints(spec: BuildSpec, paths: BuildPaths) -> tuple[Path, ...]:
    # uv warns of a file without a constraint in it.
    return (paths.constraints,) if spec.install.constraints else ()


def _words(source: ConfigSource) -> str:
    match source:
        case RequirementSource(requirement=requirement):
            return requirement
        case PathSource(path=path):
            return f"from source tree {path}"
        case ConfigMapSource(name=name):
            return f"from ConfigMap {name}"
        case GitSource(url=url, ref=ref):
            what = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
            return f"from {what} of {url}"
        case ArchiveSource(url=url):
            return f"from archive {url}"
        case _:
            assert_never(source)
