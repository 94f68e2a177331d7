"""What these tests share: the real commands as processes, and a terminal to look at.

uv is the real one where the sample is built. Elsewhere it is the stand-in of the web tests, with
which a build takes half a second and can be held at a gate.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "manifests" / "samples"
SAMPLE = SAMPLES / "local.yaml"
STAND_IN = ROOT / "tests" / "web" / "uv.sh"

STEPS = (
    "create_venv",
    "upgrade_pip",
    "install_engine",
    "install_config",
    "verify_imports",
    "collect_metadata",
)

# For what takes a second, on a machine that is busy with something else.
PATIENCE_S = 120

MANIFEST = """\
apiVersion: ade.dev/v1alpha1
kind: ConfigBuild
metadata:
  name: invoices
spec:
  engine: {requirement: ade-engine==1.4.0}
  config: {requirement: ade-config==2.1}
"""


def argv(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"configbuild.cli.{module}", *map(str, arguments)]


def environment(extra: Mapping[str, object] | None = None) -> dict[str, str]:
    mine = ("ADE_", "CONFIGBUILD_", "COLUMNS", "KUBECONFIG", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    return {**kept, **{name: str(value) for name, value in (extra or {}).items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def errors(self) -> str:
        return self.stderr.decode()

    def row(self, name: str) -> str:
        """What stands behind ``name:``."""
        (found,) = [line for line in self.lines if line.startswith(f"{name}: ")]
        return found.removeprefix(f"{name}: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A folder with a manifest, and the command that builds it in the folder's ``work``."""

    directory: Path
    settings: Mapping[str, object]

    @property
    def file(self) -> Path:
        return self.directory / "config.yaml"

    @property
    def workdir(self) -> Path:
        return self.directory / "work"

    @property
    def venvs(self) -> list[Path]:
        return sorted((self.workdir / "venvs").glob("*/*/*"))

    @property
    def journals(self) -> list[Path]:
        return sorted((self.workdir / "logs").glob("*/*/*.ndjson"))

    def argv(self, *arguments: object) -> list[str]:
        return argv("main", "build", "-f", self.file, "--workdir", self.workdir, *arguments)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*arguments), env=environment(self.settings), **options)

    def run(
        self, *arguments: object, content: str = "", env: Mapping[str, object] | None = None
    ) -> Ended:
        """Build; ``content`` is given as standard input."""
        done = subprocess.run(
            self.argv(*arguments),
            env=environment({**self.settings, **(env or {})}),
            input=content.encode(),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ended(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def sample_bench(directory: Path) -> Bench:
    """The sample with real uv."""
    bench = Bench(directory=directory, settings={})
    bench.file.write_bytes(SAMPLE.read_bytes())
    return bench


def quick_bench(directory: Path, manifest: str = MANIFEST) -> Bench:
    """Two requirements with the stand-in for uv."""
    uv = directory / "uv"
    uv.write_bytes(STAND_IN.read_bytes())
    uv.chmod(0o755)
    bench = Bench(directory=directory, settings={"ADE_UV_BIN": uv, "ADE_SANDBOX": "off"})
    bench.file.write_text(manifest)
    return bench


def events(ndjson: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ndjson.splitlines()]


class Screen:
    """What a person sees of the output of a program that moves the cursor up and erases lines."""

    _PART = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")

    def __init__(self) -> None:
        self.lines = [""]
        self.widest = 0
        self._row = 0

    def write(self, text: str) -> None:
        for argument, command, cr, newline, plain in self._PART.findall(text):
            if newline:
                self._row += 1
                if self._row == len(self.lines):
                    self.lines.append("")
            elif plain:
                self.lines[self._row] += plain
                self.widest = max(self.widest, len(self.lines[self._row]))
            elif command == "A":
                self._row -= int(argument or 1)
            elif command == "K":
                self.lines[self._row] = ""
            else:
                assert cr or command in "mhl", (argument, command)

    def __str__(self) -> str:
        return "\n".join(self.lines)


# Makes the terminal that it is started on its own, so that Ctrl-C reaches what it then becomes.
_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A program on a terminal of 24 lines, 80 characters wide."""

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self.raw = b""
        self._controller, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _ON_TERMINAL, *command],
            env={"TERM": "xterm-256color", **env},
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)

    @property
    def screen(self) -> Screen:
        screen = Screen()
        # A chunk may end within a sequence or a character: what is not whole yet is left out.
        whole = self.raw.decode(errors="ignore").removesuffix("\x1b")
        screen.write(re.sub(r"\x1b\[[?0-9;]*\Z", "", whole).replace("\r\n", "\n"))
        return screen

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._controller, keys)

    def until(self, text: str) -> Screen:
        """Read until this is to be seen."""
        while text not in str(self.screen):
            assert self._read(), f"{text!r} never came:\n{self.screen}"
        return self.screen

    def end(self) -> tuple[int, Screen]:
        """Read to the end."""
        while self._read():
            pass
        os.close(self._controller)
        return self.process.wait(PATIENCE_S), self.screen

    def _read(self) -> bool:
        try:
            chunk = os.read(self._controller, 65536)
        except OSError:  # as Linux says that the other side is closed
            return False
        self.raw += chunk
        return bool(chunk)


@contextlib.contextmanager
def gate(bench: Bench) -> Iterator[int]:
    """A FIFO at which the stand-in waits in ``install_config``, until something is written."""
    path = bench.directory / "gate"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        path.unlink()
