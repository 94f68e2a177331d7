"""``pylock.toml`` of a built venv (PEP 751): what is needed to install the same once more. Pure.

Only what can be locked is among its packages: each has an address and the hash of a whole file, or
a commit. PEP 751 has no entry for anything less, so the rest is listed, with the reason, in the
operator's own table ``[tool.configbuild]``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, assert_never

import tomli_w
from packaging.markers import Marker
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockValidationError,
)
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version

from configbuild.interpreters import Interpreter
from configbuild.origins import (
    Archive,
    Built,
    Distribution,
    FromIndex,
    LocalTree,
    Origin,
    Repository,
    Unknown,
    WheelFile,
    whole_hash,
)

CREATED_BY = "configbuild"


@dataclass(frozen=True, slots=True, kw_only=True)
class _CannotBeLocked:
    """Why a distribution is not among the packages."""

    why: str


def make_lock(
    found: Iterable[tuple[Distribution, Origin]], *, build_id: str, interpreter: Interpreter
) -> str:
    """Write the lock of what was found installed; equal input, equal text."""
    packages, rest = [], []
    for distribution, origin in sorted(found, key=lambda pair: pair[0].name):
        entry = _entry(distribution, origin)
        match entry:
            case Package():
                packages.append(entry)
            case _CannotBeLocked(why=why):
                rest.append(_row(distribution, origin, why))
            case _:
                assert_never(entry)
    lock = Pylock(
        lock_version=Version("1.0"),
        environments=[_environment(interpreter)],
        requires_python=SpecifierSet(f">={interpreter.minor}"),
        created_by=CREATED_BY,
        packages=packages,
        tool={CREATED_BY: {"build-id": build_id, "complete": not rest, "unlocked": rest}},
    )
    return tomli_w.dumps(dict(lock.to_dict()))


def _environment(interpreter: Interpreter) -> Marker:
    system, _, machine = interpreter.platform.partition("-")
    return Marker(
        f'python_version == "{interpreter.minor}" and sys_platform == "{system}"'
        f' and platform_machine == "{machine}"'
    )


def _entry(distribution: Distribution, origin: Origin) -> Package | _CannotBeLocked:
    try:
        version = Version(distribution.version)
    except InvalidVersion:
        return _CannotBeLocked(why="its version is none of PEP 440")
    source = _source(origin)
    if isinstance(source, _CannotBeLocked):
        return source
    # PEP 751 forbids a version beside what is a source tree: it might build to another.
    known = None if isinstance(origin, Built) else version
    package = Package(name=NormalizedName(distribution.name), version=known, **source)
    try:
        # Names of wheels are those of an index, which says what it likes.
        Pylock(lock_version=Version("1.0"), created_by=CREATED_BY, packages=[package]).validate()
    except PylockValidationError as error:
        return _CannotBeLocked(why=f"PEP 751 does not allow it: {error}")
    return package


def _source(origin: Origin) -> dict[str, Any] | _CannotBeLocked:
    match origin:
        case FromIndex(wheels=wheels):
            if not wheels or any(wheel.url is None and wheel.path is None for wheel in wheels):
                return _CannotBeLocked(why="the address of its wheel is not known")
            return {"wheels": [_wheel(wheel) for wheel in sorted(wheels, key=lambda w: w.name)]}
        case Archive() | Built(source=Archive()):
            archive = origin if isinstance(origin, Archive) else origin.source
            assert isinstance(archive, Archive)
            return {"archive": _archive(archive)}
        case Built(source=Repository(url=url, named=named, commit=commit, path=path)):
            vcs = PackageVcs(
                type="git",
                url=url,
                requested_revision=named,
                commit_id=commit,
                subdirectory=_subdirectory(path),
            )
            return {"vcs": vcs}
        case Built(source=LocalTree()):
            return _CannotBeLocked(why="built from a source tree that has no address")
        case Unknown(why=why):
            return _CannotBeLocked(why=why)
        case _:
            raise AssertionError(origin)


def _wheel(wheel: WheelFile) -> PackageWheel:
    # The name stands in the address, too; but a mirror may percent-encode it there.
    return PackageWheel(
        name=wheel.name,
        url=wheel.url,
        path=None if wheel.url else wheel.path,
        size=wheel.size,
        hashes={"sha256": wheel.sha256},
    )


def _archive(archive: Archive) -> PackageArchive:
    return PackageArchive(
        url=archive.url,
        hashes={"sha256": archive.sha256},
        subdirectory=_subdirectory(archive.path),
    )


def _subdirectory(path: str) -> str | None:
    return None if path in ("", ".") else path


def _row(distribution: Distribution, origin: Origin, why: str) -> dict[str, str]:
    row = {"name": distribution.name, "version": distribution.version, "reason": why}
    if (sha256 := whole_hash(origin)) is not None:
        row["wheel-sha256"] = sha256
    if isinstance(origin, Built) and isinstance(origin.source, LocalTree):
        row["tree-digest"] = origin.source.digest
    return row
