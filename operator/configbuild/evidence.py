"""What is seen, while a build runs, of where its wheels come from.

Three kinds of witnesses: the operator itself, for what it had built; pip's report; and uv's cache,
which has the pages of the index by which uv checked its downloads. A package's own files are none.
A witness that says nothing of use is passed over: a venv is not worse for a hash that is not known.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import PackageWheel, Pylock, PylockValidationError
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from configbuild.files import open_plain, read_plain
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
    public_url,
    those_of,
)

# pip's report holds the whole metadata of all that it installed, descriptions included.
_MOST_BYTES = 64 * 1024 * 1024

_SHA256 = re.compile("[0-9a-f]{64}")

# Whoever reads a name in a lock may take it for a path.
_WHEEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.whl")

_Key = tuple[str, str]


class Evidence:
    """The witnesses of one build. ``wheelhouse`` is where wheels may come from as files."""

    def __init__(self, *, wheelhouse: Path | None) -> None:
        self._wheelhouse = wheelhouse
        self._built: dict[str, Built] = {}
        self._pip: dict[_Key, Origin] = {}
        self._uv: dict[_Key, tuple[WheelFile, ...]] = {}

    def take_built(self, wheel: Path, source: Repository | Archive | LocalTree) -> None:
        """Hash a wheel that was made of a source tree, before anything else can touch it."""
        name = canonicalize_name(wheel.name.split("-")[0])
        if (sha256 := _hash(wheel)) is not None:
            file = WheelFile(name=wheel.name, sha256=sha256)
            self._built[name] = Built(source=source, wheel=file)

    def take_pip_report(self, report: Path) -> None:
        """Read what pip has installed, and empty the report for its next step.

        Source: pip's installation report, version 1, and PEP 610.
        """
        content = read_plain(report, _MOST_BYTES)
        if not content:
            return
        report.write_bytes(b"")
        try:
            entries = json.loads(content)["install"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        for entry in entries if isinstance(entries, list) else []:
            try:
                key = _key(entry["metadata"]["name"], entry["metadata"]["version"])
                # pip runs beside code of packages; what it said before there was any counts.
                self._pip.setdefault(key, self._told_by_pip(entry))
            except (KeyError, TypeError, AttributeError, ValueError):
                continue

    def _told_by_pip(self, entry: Mapping[str, Any]) -> Origin:
        url, info = entry["download_info"]["url"], entry["download_info"]["archive_info"]
        sha256, address = info["hashes"]["sha256"], public_url(url)
        if not _SHA256.fullmatch(sha256):
            raise ValueError(sha256)
        if entry["is_direct"]:
            if address is None:
                return Unknown(why="installed from a file")
            return Archive(url=address, sha256=sha256)
        return FromIndex(wheels=(self._wheel(url, sha256),))

    def take_looked_up(self, lock: Path) -> None:
        """Read what uv found in its cache."""
        content = read_plain(lock, _MOST_BYTES)
        if content is None:
            return
        try:
            found = Pylock.from_dict(tomllib.loads(content.decode()))
        except (ValueError, PylockValidationError, RecursionError):
            return
        for package in found.packages:
            try:
                wheels = tuple(self._told_by_uv(wheel) for wheel in package.wheels or ())
            except (KeyError, ValueError):
                continue  # one of several without a hash: then nothing is known for certain
            self._uv[_key(package.name, str(package.version))] = wheels

    def _told_by_uv(self, wheel: PackageWheel) -> WheelFile:
        sha256 = wheel.hashes["sha256"]
        if wheel.url is None or not _SHA256.fullmatch(sha256):
            raise ValueError(wheel)
        return self._wheel(wheel.url, sha256, size=wheel.size)

    def _wheel(self, url: str, sha256: str, *, size: int | None = None) -> WheelFile:
        parts = urlsplit(url)
        name = unquote(parts.path).rsplit("/", 1)[-1]
        if not _WHEEL.fullmatch(name):
            raise ValueError(name)
        path = None
        # Any other folder is one of this build's, and gone with it.
        if parts.scheme == "file" and self._wheelhouse is not None:
            path = Path(unquote(parts.path))
            path = path if path.parent == self._wheelhouse else None
        return WheelFile(
            name=name,
            sha256=sha256,
            url=public_url(url),
            path=None if path is None else str(path),
            size=size,
        )

    def origin_of(self, distribution: Distribution) -> Origin:
        """Say where a distribution came from."""
        if (built := self._built.get(distribution.name)) is not None:
            return built
        key = _key(distribution.name, distribution.version)
        if wheels := self._uv.get(key):
            return FromIndex(wheels=those_of(wheels, distribution))
        return self._pip.get(key) or Unknown(
            why=distribution.elsewhere or "no hash of its wheel is known"
        )


def _key(name: str, version: str) -> _Key:
    """Name a distribution so that all witnesses name it alike."""
    try:
        return canonicalize_name(name), str(Version(version))
    except InvalidVersion:
        return canonicalize_name(name), version


def _hash(file: Path) -> str | None:
    # A back end has left it there, so it may be a link to what only the operator can read.
    with open_plain(file) as opened:
        return None if opened is None else hashlib.file_digest(opened, "sha256").hexdigest()
