"""Where a situation is made real: the operator's own commands and environment, on a stage.

A situation is a function that takes a :class:`Stage` and runs one command that fails. What it wrote
comes back as a :class:`Fixture`, with everything that differs between machines and runs replaced.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from configbuild.installers import (
    InstallerCommands,
    PlannedCommand,
    Toolchain,
    WheelIn,
    commands_of,
)
from configbuild.interpreters import Interpreter
from configbuild.layout import BuildPaths
from configbuild.model import IndexOptions, Installer, InstallOptions, Step
from configbuild.sandbox import step_environment
from tests.failures.fixture import Fixture
from tests.failures.index import Shelf, self_signed, serve
from tests.packages import write_package

# What a stage lends to the names of the tools; ``old-pip`` is the one that comes with Python.
TOOLS = ("uv", "pip", "old-pip")


@dataclass(slots=True, kw_only=True)
class Stage:
    """One command's surroundings, made anew for each situation."""

    tool: str
    root: Path
    templates: Templates
    exits: ExitStack

    @property
    def paths(self) -> BuildPaths:
        return BuildPaths(
            venv=self.root / "venv",
            scratch=self.root / "scratch",
            cache=self.root / "cache",
            own_cache=self.root / "own-cache",
        )

    @property
    def tree(self) -> Path:
        return self.paths.config_tree

    def install(
        self,
        what: str,
        shelf: Shelf | str,
        *,
        hold_engine: str = "",
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **options: object,
    ) -> Fixture:
        """Install a requirement from an index: a shelf to serve, or a URL."""
        self._make_venv()
        url = shelf if isinstance(shelf, str) else self.exits.enter_context(serve(shelf))
        commands = self._commands(url, **options)
        constraints = []
        if wanted := options.get("constraints"):
            assert isinstance(wanted, tuple)
            self.paths.constraints.write_text("".join(f"{line}\n" for line in wanted))
            constraints.append(self.paths.constraints)
        if hold_engine:
            self.paths.engine_hold.write_text(f"{hold_engine}\n")
            constraints.append(self.paths.engine_hold)
        (install,) = commands.install(what, tuple(constraints))
        return self.run(
            install,
            Step.INSTALL_CONFIG,
            before=before,
            environment=environment,
            engine=hold_engine.partition("==")[0],
        )

    def install_beforehand(self, what: str, shelf: Shelf) -> None:
        """Install something without looking: what a situation takes for granted."""
        self._make_venv()
        with serve(shelf) as url:
            (install,) = self._commands(url, dependencies=False).install(what, ())
            done = self._start(install, (), {})
        assert done.returncode == 0, done.stdout

    def build(
        self,
        files: Mapping[str, str] | None = None,
        *,
        while_building: str = "pass",
        shelf: Shelf | str | None = None,
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Fixture:
        """Build the config's source tree, with files of its own or a back end that runs code."""
        self._make_venv()
        self._write_tree(files, while_building)
        shelf = Shelf() if shelf is None else shelf
        url = shelf if isinstance(shelf, str) else self.exits.enter_context(serve(shelf))
        command = self._commands(url).build_wheel(self.tree, self.paths.config_wheels)
        return self.run(command, Step.INSTALL_CONFIG, before=before, environment=environment)

    def check(self) -> Fixture:
        return self.run(self._commands("").check(), Step.VERIFY_IMPORTS)

    def create_venv(self, *, before: Sequence[str] = ()) -> Fixture:
        self._make_scratch()
        return self.run(self._commands("").create_venv(), Step.CREATE_VENV, before=before)

    def serve_untrusted(self, shelf: Shelf) -> str:
        """Serve over TLS by a certificate that nobody signed but itself; gives the URL."""
        return self.exits.enter_context(serve(shelf, tls=self_signed(self.root)))

    def run(
        self,
        command: PlannedCommand,
        step: Step,
        *,
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        engine: str = "",
    ) -> Fixture:
        """Run a command that fails, and take down what it wrote."""
        done = self._start(command, before, environment or {})
        assert done.returncode != 0, f"this should have failed:\n{done.stdout}"
        signal = -done.returncode if done.returncode < 0 else None
        words = Words(root=self.root, templates=self.templates)
        return Fixture(
            tool=self.templates.title(self.tool),
            command=words.normalize(" ".join(map(str, command.argv))),
            under=tuple(
                words.normalize(f"{name}={value}") for name, value in (environment or {}).items()
            ),
            step=step,
            exit_code=done.returncode if signal is None else 128 + signal,
            signal=signal,
            engine=engine,
            lines=tuple(words.normalize(line) for line in done.stdout.splitlines()),
        )

    def _start(
        self, command: PlannedCommand, before: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        assert not any(isinstance(word, WheelIn) for word in command.argv)
        index = any("index" in str(word) for word in command.argv)
        return subprocess.run(
            [*before, *map(str, command.argv)],
            # From the usual index, so as this machine reaches it.
            env={**step_environment(self.paths, {} if index else os.environ), **environment},
            cwd=self.paths.scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            check=False,
        )

    def _commands(self, url: str, **options: object) -> InstallerCommands:
        installer = Installer.UV if self.tool == "uv" else Installer.PIP
        index = IndexOptions(urls=(url,) if url else ())
        chosen = InstallOptions(installer=installer, index=index, **options)  # type: ignore[arg-type]
        return commands_of(chosen, paths=self.paths, tools=self.templates.toolchain)

    def _make_scratch(self) -> None:
        for folder in (self.paths.home, self.paths.tmp, self.paths.config_wheels):
            folder.mkdir(parents=True, exist_ok=True)
        self.paths.cache.mkdir(exist_ok=True)

    def _make_venv(self) -> None:
        self._make_scratch()
        if not self.paths.venv.exists():
            shutil.copytree(self.templates.venv(self.tool), self.paths.venv, symlinks=True)

    def _write_tree(self, files: Mapping[str, str] | None, while_building: str) -> None:
        if files is None:
            write_package(self.tree, "ade-config", while_building=while_building)
            return
        for path, text in files.items():
            file = self.tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


@dataclass(slots=True, kw_only=True)
class Templates:
    """A venv for each tool, made once and copied for each situation."""

    root: Path
    toolchain: Toolchain
    made: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def at(cls, root: Path, uv: Path) -> Templates:
        interpreter = Interpreter(
            path=Path(sys.base_prefix) / "bin" / "python3",
            version=".".join(map(str, sys.version_info[:3])),
            platform=sysconfig.get_platform(),
        )
        toolchain = Toolchain(interpreter=interpreter, operator_python=Path(sys.executable), uv=uv)
        return cls(root=root, toolchain=toolchain)

    def venv(self, tool: str) -> Path:
        """Give the venv to copy for a tool."""
        if tool not in self.made:
            self.made[tool] = self._make(tool)
        return self.made[tool]

    def title(self, tool: str) -> str:
        """Name a tool with its version."""
        if tool == "uv":
            return " ".join(self._say(self.toolchain.uv, "--version").split()[:2])
        return " ".join(
            self._say(self.venv(tool) / "bin" / "python", "-I", "-m", "pip", "--version").split()[
                :2
            ]
        )

    def _make(self, tool: str) -> Path:
        venv = self.root / tool
        interpreter = self.toolchain.interpreter.path
        if tool == "uv":
            uv = self.toolchain.uv
            self._say(uv, "venv", "-q", "--no-config", "--python", interpreter, venv)
            return venv
        self._say(interpreter, "-I", "-m", "venv", venv)
        if tool == "pip":
            python = venv / "bin" / "python"
            self._say(python, "-I", "-m", "pip", "install", "-q", "--upgrade", "pip")
        return venv

    @staticmethod
    def _say(*argv: str | Path) -> str:
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=True)
        return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Replaces what differs from machine to machine and from run to run."""

    root: Path
    templates: Templates

    def normalize(self, line: str) -> str:
        """Rewrite a line of output."""
        toolchain = self.templates.toolchain
        project = Path(__file__).parents[2]
        for path, name in (
            (self.root, "/build"),
            (toolchain.uv, "/opt/bin/uv"),
            (toolchain.interpreter.path.parent.parent, "/opt/python"),
            (project, "/opt/project"),
        ):
            line = line.replace(str(path.resolve()), name).replace(str(path), name)
        for pattern, replacement in _VARYING:
            line = pattern.sub(replacement, line)
        return line


_VARYING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"127\.0\.0\.1:\d{2,5}|\bport=\d{4,5}", "127.0.0.1:8000"),
        (r"\b\d+(\.\d+)?(ms|s)\b(?! \()", "1ms"),
        (r"\.tmp[A-Za-z0-9]{6}", ".tmpXXXXXX"),
        (r"\b(pip-[a-z-]+-)[a-z0-9_]{8}\b", r"\1xxxxxxxx"),
        (r"/tmp[a-z0-9_]{8}\b", "/tmpxxxxxxxx"),
        (r"/cc[A-Za-z0-9]{6}\.", "/ccXXXXXX."),
        (r"0x[0-9a-f]{8,}", "0x7f0000000000"),
        (r"\.mesonpy-[a-z0-9_]{8}", ".mesonpy-xxxxxxxx"),
        (r"(archive-v\d+)/[\w-]{16,}", r"\1/XXXXXX"),
        (r"(sdists-v\d+/index)/[0-9a-f]+/([^/]+/[^/]+)/[\w-]{16,}", r"\1/0/\2/XXXXXX"),
        (r"ephem-wheel-cache-[a-z0-9_]{8}", "ephem-wheel-cache-xxxxxxxx"),
        # The usual index is another on another machine.
        (r"https://[\w.-]*py(?:pi|thonhosted)\.org", "https://index.example"),
    )
)


Situation = Callable[[Stage], Fixture]
