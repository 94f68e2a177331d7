"""What uv and pip are asked to do: the argv of each of their commands. Pure.

Both are the same verbs over different programs; :mod:`configbuild.plan` knows only the verbs.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCommand:
    """One command; ``tolerated``: a bad exit code is reported and the step goes on."""

    argv: tuple[Argument, ...]
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
        return self._uv("venv", "--no-project", "--python", interpreter, str(self.paths.venv))

    def upgrade_itself(self) -> str:
        """See :class:`InstallerCommands`."""
        return "uv installs without pip in the environment"

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        interpreter = str(self.tools.interpreter.path)
        argv = ["build", "--wheel", "--no-sources", "--python", interpreter, *self._index()]
        return self._uv(*argv, "--out-dir", str(out), str(tree))

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
        return self._uv(*argv, "--", what)

    def check(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return self._uv(
            "pip",
            "check",
            "--python",
            str(self.paths.python),
            tolerated=not self.options.dependencies,
        )

    def _uv(self, *arguments: Argument, tolerated: bool = False) -> PlannedCommand:
        return PlannedCommand(argv=(str(self.tools.uv), *arguments), tolerated=tolerated)

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
        return PlannedCommand(argv=(interpreter, "-I", "-m", "venv", str(self.paths.venv)))

    def upgrade_itself(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return self._pip("install", "--upgrade", *self._index(), "pip", "setuptools", "wheel")

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return self._pip("wheel", "--no-deps", *self._index(), "--wheel-dir", str(out), str(tree))

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
        return self._pip(*argv, "--", what)

    def check(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return self._pip("check", tolerated=not self.options.dependencies)

    def _pip(self, *arguments: Argument, tolerated: bool = False) -> PlannedCommand:
        argv = (str(self.paths.python), "-I", "-m", "pip", *arguments)
        return PlannedCommand(argv=argv, tolerated=tolerated)

    def _index(self) -> list[str]:
        if self.tools.wheelhouse is not None:
            return ["--no-index", "--find-links", str(self.tools.wheelhouse)]
        urls = self.options.index.urls
        return ["--index-url", urls[0]] if urls else []
