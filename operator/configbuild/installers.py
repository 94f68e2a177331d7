"""What uv and pip are asked to do: the argv of each of their commands. Pure.

Both are the same verbs over different programs; :mod:`configbuild.plan` knows only the verbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, assert_never

from configbuild.interpreters import Interpreter
from configbuild.layout import BuildPaths
from configbuild.model import Installer, InstallOptions


@dataclass(frozen=True, slots=True)
class WheelIn:
    """Stands for the path of the one wheel that an earlier command left in ``directory``."""

    directory: Path


Argument = str | WheelIn


class Access(StrEnum):
    """What kind of thing a command does, and so what it may reach."""

    CREATE = "create"
    """Make the venv: by its interpreter, without a network."""
    BUILD = "build"
    """Run the code of a package: with a cache of the config's own."""
    INSTALL = "install"
    """Write into the venv, from the cache that the namespace shares."""
    INSPECT = "inspect"
    """Run what is in the venv: without a network, and without writing there."""
    COLLECT = "collect"
    """Read the files of the venv, and write one report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCommand:
    """One command.

    ``writes``: what it may change besides that which its ``access`` gives; ``tolerated``: a bad
    exit code is reported and the step goes on.
    """

    argv: tuple[Argument, ...]
    access: Access
    writes: tuple[Path, ...] = ()
    tolerated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """The programs a build runs.

    With a ``wheelhouse`` (a directory of wheels) installs take wheels from there and ask no index.
    """

    interpreter: Interpreter
    operator_python: Path
    uv: Path
    wheelhouse: Path | None = None


class InstallerCommands(Protocol):
    """The verbs of an installer; each gives the command, none runs it."""

    def create_venv(self) -> PlannedCommand:
        """Make the empty venv at its final path."""

    def upgrade_itself(self) -> PlannedCommand | str:
        """Bring the installer inside the venv up to date; a text says why nothing is to do."""

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """Build a source tree to a wheel in ``out``."""

    def install(self, what: Argument, constraints: tuple[Path, ...]) -> PlannedCommand:
        """Install a requirement or a wheel and what it depends on."""

    def check(self) -> PlannedCommand:
        """Check that every installed package finds what it depends on."""


def commands_of(
    options: InstallOptions, *, paths: BuildPaths, tools: Toolchain
) -> InstallerCommands:
    """Choose the installer that the spec names."""
    match options.installer:
        case Installer.UV:
            return Uv(options=options, paths=paths, tools=tools)
        case Installer.PIP:
            return Pip(options=options, paths=paths, tools=tools)
        case _:
            assert_never(options.installer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uv:
    """uv, outside the venv: the venv itself holds no installer."""

    options: InstallOptions
    paths: BuildPaths
    tools: Toolchain

    def create_venv(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        interpreter = str(self.tools.interpreter.path)
        argv = ("venv", "--no-project", "--python", interpreter, str(self.paths.venv))
        return PlannedCommand(argv=self._uv(*argv), access=Access.CREATE)

    def upgrade_itself(self) -> str:
        """See :class:`InstallerCommands`."""
        return "uv installs without pip in the environment"

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        interpreter = str(self.tools.interpreter.path)
        argv = ["build", "--wheel", "--no-sources", "--python", interpreter, *self._index()]
        return PlannedCommand(
            argv=self._uv(*argv, "--out-dir", str(out), str(tree)),
            access=Access.BUILD,
            writes=(tree, out),
        )

    def install(self, what: Argument, constraints: tuple[Path, ...]) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        argv = ["pip", "install", "--no-sources", "--python", str(self.paths.python)]
        argv += self._index()
        for path in constraints:
            argv += ["--constraints", str(path)]
        if self.options.compile_bytecode:
            argv.append("--compile-bytecode")
        if not self.options.dependencies:
            argv.append("--no-deps")
        if self.options.only_binary:
            argv += ["--only-binary", ":all:"]
        return PlannedCommand(argv=self._uv(*argv, "--", what), access=Access.INSTALL)

    def check(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return PlannedCommand(
            argv=self._uv("pip", "check", "--python", str(self.paths.python)),
            access=Access.INSPECT,
            tolerated=not self.options.dependencies,
        )

    def _uv(self, *arguments: Argument) -> tuple[Argument, ...]:
        return (str(self.tools.uv), *arguments)

    def _index(self) -> list[str]:
        if self.tools.wheelhouse is not None:
            return ["--no-index", "--find-links", str(self.tools.wheelhouse)]
        urls = self.options.index.urls
        if not urls:
            return []
        # uv asks --index in order and --default-index last, and takes the first that has a package.
        first = [part for url in urls[:-1] for part in ("--index", url)]
        return [*first, "--default-index", urls[-1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pip:
    """pip, inside the venv."""

    options: InstallOptions
    paths: BuildPaths
    tools: Toolchain

    def create_venv(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        interpreter = str(self.tools.interpreter.path)
        argv = (interpreter, "-I", "-m", "venv", str(self.paths.venv))
        return PlannedCommand(argv=argv, access=Access.CREATE)

    def upgrade_itself(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        argv = ("install", "--upgrade", *self._index(), "pip", "setuptools", "wheel")
        return PlannedCommand(argv=self._pip(*argv), access=Access.INSTALL)

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        argv = ("wheel", "--no-deps", *self._index(), "--wheel-dir", str(out), str(tree))
        return PlannedCommand(argv=self._pip(*argv), access=Access.BUILD, writes=(tree, out))

    def install(self, what: Argument, constraints: tuple[Path, ...]) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        argv = ["install", *self._index()]
        for path in constraints:
            argv += ["--constraint", str(path)]
        if not self.options.compile_bytecode:
            argv.append("--no-compile")
        if not self.options.dependencies:
            argv.append("--no-deps")
        if self.options.only_binary:
            argv += ["--only-binary", ":all:"]
        return PlannedCommand(argv=self._pip(*argv, "--", what), access=Access.INSTALL)

    def check(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return PlannedCommand(
            argv=self._pip("check"),
            access=Access.INSPECT,
            tolerated=not self.options.dependencies,
        )

    def _pip(self, *arguments: Argument) -> tuple[Argument, ...]:
        return (str(self.paths.python), "-I", "-m", "pip", *arguments)

    def _index(self) -> list[str]:
        if self.tools.wheelhouse is not None:
            return ["--no-index", "--find-links", str(self.tools.wheelhouse)]
        urls = self.options.index.urls
        return ["--index-url", urls[0]] if urls else []
