"""What uv and pip are asked to do: the argv of each of their commands. Pure.

Both are the same verbs over different programs; :mod:`configbuild.plan` knows only the verbs.

Code of packages runs while wheels are built, and only then. Installs take wheels alone; where a
dependency has none, it is built first, apart from the venv and from the cache that others read.

Where an index wants credentials, wheels are fetched by a command of its own, apart from the venv,
and then installed by one that has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, assert_never

from configbuild.interpreters import Interpreter
from configbuild.layout import BuildPaths
from configbuild.model import Installer, InstallOptions
from configbuild.steps import COMPILE_BYTECODE, COMPILE_TOOLS, UNSHARE_FILES

# From the fetch to the install of one step; the longest build is an hour.
_KEPT = "max-age=3600"


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
    FETCH = "fetch"
    """Fetch wheels, with the credentials for an index: apart from the venv and from all caches that
    code of packages writes to. Runs no such code."""
    INSTALL_FETCHED = "install-fetched"
    """Write into the venv what was fetched with credentials: without these, and no network."""
    INSTALL = "install"
    """Write into the venv, from the cache that the namespace shares: runs no code of packages."""
    INSTALL_OWN = "install-own"
    """Write into the venv, from the config's own cache."""
    REWORK = "rework"
    """Write into the venv by a program of ours: without a network or a cache."""
    REWORK_OWN = "rework-own"
    """Write into the config's own cache of uv by a program of ours: without a network."""
    INSPECT = "inspect"
    """Run what is in the venv: without a network, and without writing there."""
    COLLECT = "collect"
    """Read the files of the venv, and write one report."""
    LOOK_UP = "look-up"
    """Look into the namespace's cache for what an index said: without a network."""
    LOOK_UP_FETCHED = "look-up-fetched"
    """The same in the cache of what was fetched with credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCommand:
    """One command.

    ``writes``: what it may change besides that which its ``access`` gives; ``makes``: the folder in
    which it leaves the wheel of a source tree; ``without_wheels``: what is run in its place once
    it has failed because something has no wheel (:func:`lacks_wheels`); ``compiles_tools``: what is
    run before it, once for whatever is new in the cache that its tools come from; ``tolerated``: a
    bad exit code is reported and the step goes on.
    """

    argv: tuple[Argument, ...]
    access: Access
    writes: tuple[Path, ...] = ()
    makes: Path | None = None
    without_wheels: tuple[PlannedCommand, ...] = ()
    compiles_tools: PlannedCommand | None = None
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

    def upgrade_itself(self) -> tuple[PlannedCommand, ...] | str:
        """Bring the installer inside the venv up to date; a text says why nothing is to do."""

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """Build a source tree to a wheel in ``out``."""

    def install(self, what: Argument, constraints: tuple[Path, ...]) -> tuple[PlannedCommand, ...]:
        """Install a requirement or a wheel and what it depends on.

        One command, or two where the index wants credentials: the first fetches with them, wheels
        only and apart from the venv, so that no code of any package runs beside credentials, be it
        a build back end's or that of what is installed already (a ``.pth`` file runs at every start
        of the venv's interpreter).
        """

    def compile(self) -> tuple[PlannedCommand, ...]:
        """Compile what is installed to bytecode, where installing did not."""

    def check(self) -> PlannedCommand:
        """Check that every installed package finds what it depends on."""

    def look_up(self) -> tuple[PlannedCommand, ...]:
        """Find addresses and hashes of the wheels installed, where installing did not tell."""


def index_name(number: int) -> str:
    """Name an index, so that credentials can be given to it and to no other."""
    return f"ade{number}"


def uv_index_config(urls: Sequence[str]) -> str:
    """Write the indexes as uv's configuration has them: by name, and kept whatever they say.

    What is fetched with credentials is installed without, out of the cache; an index that forbids
    caching would leave nothing there. Text is written as TOML by JSON, whose strings TOML has too.
    """
    last = len(urls) - 1
    return "".join(
        f"""\
[[index]]
name = {json.dumps(index_name(number))}
url = {json.dumps(url)}
default = {json.dumps(number == last)}
cache-control = {{ api = "{_KEPT}", files = "{_KEPT}" }}
"""
        for number, url in enumerate(urls)
    )


# What uv says where something has no wheel, and pip where it finds nothing, which may be why.
_LACKS_WHEELS = re.compile(
    r"no usable wheels|building from source is disabled|No matching distribution found"
)


def lacks_wheels(lines: Sequence[str]) -> bool:
    """Tell from the last lines of an install whether it may have failed for want of a wheel."""
    return any(_LACKS_WHEELS.search(line) for line in lines)


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
            makes=out,
            compiles_tools=self._compile_tools(),
        )

    def _compile_tools(self) -> PlannedCommand:
        archives = self.paths.unpacked_tools
        return PlannedCommand(
            argv=self._own_program(COMPILE_TOOLS, archives),
            access=Access.REWORK_OWN,
            # A wheel is built as well without: only its tools take longer to start.
            tolerated=True,
        )

    def install(self, what: Argument, constraints: tuple[Path, ...]) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`."""
        bounds = [part for path in constraints for part in ("--constraints", str(path))]
        if not self.options.dependencies:
            bounds.append("--no-deps")
        argv = ["pip", "install", "--no-sources", "--python", str(self.paths.python)]
        argv += [*self._index(), *bounds]
        if _wants_credentials(self.options, self.tools):
            install = self._uv(*argv, "--offline", "--no-build", "--", what)
            return (
                self._fetch(bounds, what),
                PlannedCommand(argv=install, access=Access.INSTALL_FETCHED),
            )
        return (
            PlannedCommand(
                argv=self._uv(*argv, "--no-build", "--", what),
                access=Access.INSTALL,
                without_wheels=() if self.options.only_binary else self._slow_install(argv, what),
            ),
        )

    def _fetch(self, bounds: list[str], what: Argument) -> PlannedCommand:
        # uv has no verb for fetching: installing into a folder that nobody uses fills its cache.
        place = self.paths.index
        argv = ["pip", "install", "--no-sources", "--no-build", "--target", str(place.wheels)]
        argv += ["--python", str(self.tools.interpreter.path), "--config-file", str(place.config)]
        # The engine, where it was built from a tree: the config may depend on it.
        argv += ["--find-links", str(self.paths.engine_wheels), *bounds]
        return PlannedCommand(argv=self._uv(*argv, "--", what), access=Access.FETCH)

    def _slow_install(self, argv: list[str], what: Argument) -> tuple[PlannedCommand, ...]:
        # uv has no verb for building what is depended on; installing it elsewhere leaves the wheels
        # in the config's own cache. With --no-build it would not take them from there, and without
        # it could be made to run code of packages: so no file of the venv may be shared by then.
        target = ("--target", str(self.paths.built))
        copies = ("--link-mode", "copy")
        return (
            PlannedCommand(argv=self._uv(*argv, *target, "--", what), access=Access.BUILD),
            PlannedCommand(
                argv=self._own_program(UNSHARE_FILES, self.paths.venv), access=Access.REWORK
            ),
            PlannedCommand(argv=self._uv(*argv, *copies, "--", what), access=Access.INSTALL_OWN),
        )

    def compile(self) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`."""
        if not self.options.compile_bytecode:
            return ()
        site_packages = self.paths.site_packages(self.tools.interpreter.minor)
        kept = self.paths.kept_bytecode
        return (
            PlannedCommand(
                argv=self._own_program(COMPILE_BYTECODE, site_packages, kept),
                access=Access.REWORK,
                writes=(kept,),
            ),
        )

    def _own_program(self, program: Path, *directories: Path) -> tuple[str, ...]:
        interpreter = str(self.tools.interpreter.path)
        return (interpreter, "-I", "-S", "-B", str(program), *map(str, directories))

    def check(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return PlannedCommand(
            argv=self._uv("pip", "check", "--python", str(self.paths.python)),
            access=Access.INSPECT,
            tolerated=not self.options.dependencies,
        )

    def look_up(self) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`.

        uv does not tell what it installed. Its cache has the pages of the index, by which it
        checked each download; each distribution is pinned, so nothing is resolved.
        """
        paths = self.paths
        argv = ["pip", "compile", "-qq", "--offline", "--no-deps", "--no-build", "--no-sources"]
        argv += ["--python", str(self.tools.interpreter.path), *self._index(), "--no-header"]
        argv += ["--output-file", str(paths.looked_up), str(paths.pins)]
        fetched = _wants_credentials(self.options, self.tools)
        return (
            PlannedCommand(
                argv=self._uv(*argv),
                access=Access.LOOK_UP_FETCHED if fetched else Access.LOOK_UP,
                writes=(paths.lookup,),
                # An index without hashes, or a cache that was emptied: the venv is as good.
                tolerated=True,
            ),
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
    """pip, inside the venv.

    Python runs what ``.pth`` files of packages say before it runs pip, so pip never gets the cache
    that others read.
    """

    options: InstallOptions
    paths: BuildPaths
    tools: Toolchain

    def create_venv(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        interpreter = str(self.tools.interpreter.path)
        argv = (interpreter, "-I", "-m", "venv", str(self.paths.venv))
        return PlannedCommand(argv=argv, access=Access.CREATE)

    def upgrade_itself(self) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`."""
        names = ("pip", "setuptools", "wheel")
        fetch, index = self._fetched([], *names)
        argv = self._pip("install", "--upgrade", *index, *self._report(), *names)
        upgrade = PlannedCommand(argv=argv, access=Access.INSTALL_OWN, writes=self._reported())
        if not fetch:
            return (upgrade,)
        # The first step with pip, so what all fetches run with is made here.
        interpreter = str(self.tools.interpreter.path)
        make = (interpreter, "-I", "-m", "venv", str(self.paths.index.venv))
        return (PlannedCommand(argv=make, access=Access.FETCH), *fetch, upgrade)

    def build_wheel(self, tree: Path, out: Path) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        argv = ("wheel", "--no-deps", *self._index(), "--wheel-dir", str(out), str(tree))
        return PlannedCommand(
            argv=self._pip(*argv), access=Access.BUILD, writes=(tree, out), makes=out
        )

    def install(self, what: Argument, constraints: tuple[Path, ...]) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`."""
        bounds = [part for path in constraints for part in ("--constraint", str(path))]
        if not self.options.dependencies:
            bounds.append("--no-deps")
        install = [*bounds, *self._report(), "--only-binary", ":all:"]
        if not self.options.compile_bytecode:
            install.append("--no-compile")
        fetch, index = self._fetched(bounds, "--", what)
        may_build = not fetch and not self.options.only_binary
        return (
            *fetch,
            PlannedCommand(
                argv=self._pip("install", *index, *install, "--", what),
                access=Access.INSTALL_OWN,
                writes=self._reported(),
                without_wheels=self._slow_install(bounds, install, what) if may_build else (),
            ),
        )

    def _fetched(
        self, bounds: list[str], *what: Argument
    ) -> tuple[tuple[PlannedCommand, ...], list[str]]:
        """Plan what fetches with credentials, if any are wanted; and where to install from."""
        if not _wants_credentials(self.options, self.tools):
            return (), self._index()
        place = self.paths.index
        argv = [str(place.venv / "bin" / "python"), "-I", "-m", "pip", "download"]
        argv += ["--only-binary", ":all:", "--dest", str(place.wheels)]
        # The engine, where it was built from a tree: the config may depend on it.
        argv += ["--find-links", str(self.paths.engine_wheels), *bounds]
        fetch = PlannedCommand(argv=(*argv, *what), access=Access.FETCH)
        return (fetch,), ["--no-index", "--find-links", str(place.wheels)]

    def _slow_install(
        self, bounds: list[str], install: list[str], what: Argument
    ) -> tuple[PlannedCommand, ...]:
        built = str(self.paths.built)
        build = ["wheel", *self._index(), *bounds, "--wheel-dir", built]
        install = ["install", "--no-index", "--find-links", built, *install]
        return (
            PlannedCommand(argv=self._pip(*build, "--", what), access=Access.BUILD),
            PlannedCommand(
                argv=self._pip(*install, "--", what),
                access=Access.INSTALL_OWN,
                writes=self._reported(),
            ),
        )

    def compile(self) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`."""
        return ()

    def check(self) -> PlannedCommand:
        """See :class:`InstallerCommands`."""
        return PlannedCommand(
            argv=self._pip("check"),
            access=Access.INSPECT,
            tolerated=not self.options.dependencies,
        )

    def look_up(self) -> tuple[PlannedCommand, ...]:
        """See :class:`InstallerCommands`: pip has told, by its report."""
        return ()

    def _report(self) -> list[str]:
        return ["--report", str(self.paths.pip_report)] if self._reported() else []

    def _reported(self) -> tuple[Path, ...]:
        # pip has reports from 22.2 on, and Python from 3.11 on comes with a later one.
        minor = tuple(map(int, self.tools.interpreter.minor.split(".")))
        return (self.paths.pip_report,) if minor >= (3, 11) else ()

    def _pip(self, *arguments: Argument) -> tuple[Argument, ...]:
        return (str(self.paths.python), "-I", "-m", "pip", *arguments)

    def _index(self) -> list[str]:
        if self.tools.wheelhouse is not None:
            return ["--no-index", "--find-links", str(self.tools.wheelhouse)]
        urls = self.options.index.urls
        return ["--index-url", urls[0]] if urls else []


def _wants_credentials(options: InstallOptions, tools: Toolchain) -> bool:
    return options.index.secret is not None and tools.wheelhouse is None
