"""What the operator knows about a built venv, read from its files and written beside them.

The receipt (``ade-runtime/build.json``) says what was built, from what, by which commands; it is
written by the operator after verification, so a venv without one was never verified. Beside it are
a list of packages, a lock (:mod:`configbuild.lockfile`) and a bill of materials
(:mod:`configbuild.bom`).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from configbuild.errors import StepError
from configbuild.files import write_whole
from configbuild.layout import BuildPaths

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """The engine as it was installed; ``record_sha256`` hashes its RECORD file (PEP 376)."""

    name: str
    version: str
    record_sha256: str

    def as_constraint(self) -> str:
        """Write the constraint that holds the engine where it is."""
        return f"{self.name}=={self.version}\n"


@dataclass(slots=True, kw_only=True)
class CommandRecord:
    """A command that was run."""

    argv: tuple[str, ...]
    exit_code: int | None
    duration_ms: int


@dataclass(slots=True, kw_only=True)
class StepRecord:
    """A step and its commands, as far as they ran."""

    name: str
    status: str
    duration_ms: int = 0
    commands: list[CommandRecord] = field(default_factory=list)


def installed(site_packages: Path, name: str) -> EngineFacts:
    """Read from its files what version of ``name`` is installed.

    :class:`StepError` if none is, or if something there is no plain file.
    """
    wanted = canonicalize_name(name)
    for metadata in sorted(site_packages.glob("*.dist-info")):
        _check_plain(metadata)
        dist = Distribution.at(metadata)
        if canonicalize_name(dist.metadata["Name"] or "") == wanted:
            return _facts(dist, wanted)
    raise StepError(
        f"{name} is not installed, though its installation ended well; does the package have"
        " another name?",
        reason="EngineNotInstalled",
    )


def _check_plain(metadata: Path) -> None:
    """Refuse to read what code of packages may have put there: a link to elsewhere, or a pipe.

    Everything that the build started is dead by now, so nothing changes after the look.
    """
    files = [path for name in ("METADATA", "RECORD") if os.path.lexists(path := metadata / name)]
    plain = stat.S_ISDIR(metadata.lstat().st_mode) and all(
        stat.S_ISREG(path.lstat().st_mode) for path in files
    )
    if not plain:
        raise StepError(
            f"{metadata.name} in the venv is no folder of plain files, as an installer makes them",
            reason="InvalidDistribution",
        )


def _facts(dist: Distribution, name: str) -> EngineFacts:
    record = (dist.read_text("RECORD") or "").encode()
    return EngineFacts(
        name=name, version=dist.version, record_sha256=hashlib.sha256(record).hexdigest()
    )


def wheel_name(wheel: Path) -> str:
    """Take the distribution's name from a wheel's file name (binary distribution format)."""
    try:
        return parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename as error:
        raise StepError(
            f"the build back end named its wheel {wheel.name!r}: {error}",
            reason="BuildBackendFailed",
        ) from error


def write_receipt(
    paths: BuildPaths, receipt: Mapping[str, Any], packages: list[str], *, lock: str, bom: str
) -> None:
    """Write all that the operator says of the venv into it, each file whole or not at all.

    ``build.json`` comes last: where it is, the others are, and the venv was verified.
    """
    paths.runtime.mkdir()
    write_whole(paths.packages, "".join(f"{line}\n" for line in packages))
    write_whole(paths.lock, lock)
    write_whole(paths.bom, bom)
    write_whole(paths.receipt, json.dumps(receipt, indent=1) + "\n")


def read_receipt(receipt: Path) -> dict[str, Any] | None:
    """Read a receipt; ``None`` if there is none or it is not whole."""
    try:
        data = json.loads(receipt.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("schema") == SCHEMA else None
