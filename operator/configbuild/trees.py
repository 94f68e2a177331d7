"""Source trees: what they hold, one digest of it, and a copy of exactly that.

A tree is resolved before a build (its digest goes into the fingerprint) and copied when the build
runs. Whatever happens to its origin in between, the copy has the digest or fails.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from configbuild.archives import Limits, TreeFile
from configbuild.errors import ConfigBuildError

# What is read at once: nearly every file that people write is smaller.
_PIECE_BYTES = 64 * 1024

# Made by tools next to the sources, never part of them.
_IGNORED_DIRECTORIES = frozenset({".git", ".hg", ".svn", "__pycache__"})


class TreeError(ConfigBuildError):
    """A source tree holds what cannot be built from, or changed while it was copied."""

    reason = "SourceInvalid"


class Tree(Protocol):
    """A source tree of known content."""

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted paths, modes and bytes of all files."""

    def copy_to(self, directory: Path) -> None:
        """Write the files below ``directory`` (made); :class:`TreeError` if they have changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTree:
    """A tree whose files are in memory, by their path."""

    files: Mapping[str, TreeFile]

    @property
    def digest(self) -> str:
        """See :class:`Tree`."""
        return _digest((path, self.files[path]) for path in sorted(self.files))

    def copy_to(self, directory: Path) -> None:
        """See :class:`Tree`."""
        write_files(directory, self.files.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryTree:
    """A tree on disk, as it was when its digest was made."""

    root: Path
    digest: str
    limits: Limits

    @classmethod
    def scan(cls, root: Path, limits: Limits) -> DirectoryTree:
        """Read a directory and make its digest; :class:`TreeError` if it is not a plain tree."""
        return cls(root=root, digest=_digest(_files_of(root, limits)), limits=limits)

    def copy_to(self, directory: Path) -> None:
        """See :class:`Tree`."""
        try:
            copied = list(_files_of(self.root, self.limits))
        except OSError as error:
            raise self._changed() from error
        if _digest(copied) != self.digest:
            raise self._changed()
        write_files(directory, copied)

    def _changed(self) -> TreeError:
        return TreeError(
            f"the source tree {self.root.name} changed between its fingerprint and its build;"
            " the next ensure takes it as it is now",
            reason="SourceChanged",
        )


def _files_of(root: Path, limits: Limits) -> Iterator[tuple[str, TreeFile]]:
    """Yield all files below ``root``, sorted by path, counting against the limits.

    Paths are plain strings here: every ensure of every config comes by, and pathlib would take most
    of its time.
    """
    budget = limits.bytes
    paths = sorted(_walk(str(root), "", root.name))
    if len(paths) > limits.files:
        raise TreeError(f"the source tree {root.name} has more than {limits.files} files")
    for path in paths:
        content, executable = _read(f"{root}/{path}", path, budget)
        budget -= len(content)
        yield path, TreeFile(content=content, executable=executable)


def _walk(directory: str, prefix: str, tree: str) -> Iterator[str]:
    """Yield the paths of all files below a directory, with ``prefix`` in front."""
    with os.scandir(directory) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _IGNORED_DIRECTORIES:
                    yield from _walk(entry.path, f"{path}/", tree)
            elif entry.is_file(follow_symlinks=False):
                yield path
            else:
                raise TreeError(
                    f"{_told(path)} in the source tree {tree} is a link or a special file; only"
                    " plain files and folders are built from"
                )


def _told(path: str) -> str:
    """Write a name so that it can be written down, also one that is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read(file_path: str, path: str, budget: int) -> tuple[bytes, bool]:
    # O_NOFOLLOW: between the walk and here the file may have become a link to something else.
    descriptor = os.open(file_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TreeError(f"{_told(path)} is not a plain file")
        content = _read_beyond(descriptor, budget)
    finally:
        os.close(descriptor)
    if len(content) > budget:
        raise TreeError(f"the source tree is too large (at {_told(path)})")
    return content, bool(status.st_mode & 0o100)


def _read_beyond(descriptor: int, budget: int) -> bytes:
    """Read a file whole, or a little more than ``budget`` bytes of one that is longer."""
    pieces: list[bytes] = []
    taken = 0
    while taken <= budget and (piece := os.read(descriptor, _PIECE_BYTES)):
        pieces.append(piece)
        taken += len(piece)
    return b"".join(pieces)


def _digest(files: Iterable[tuple[str, TreeFile]]) -> str:
    tree = hashlib.sha256()
    for path, file in files:
        mode = b"x" if file.executable else b"-"
        name = path.encode("utf-8", "surrogateescape")
        # Lengths go in front, so that no two trees can give the same bytes.
        tree.update(b"%d %b%b%d " % (len(name), name, mode, len(file.content)))
        tree.update(file.content)
    return tree.hexdigest()


def write_files(directory: Path, files: Iterable[tuple[str, TreeFile]]) -> int:
    """Write files below ``directory`` (made), one after the other; returns how many they were.

    Paths must be in the normal form of :func:`.archives.clean_path`.
    """
    directory.mkdir(parents=True, exist_ok=False)
    count = 0
    for count, (path, file) in enumerate(files, start=1):  # noqa: B007 - the last one is returned
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(0o755 if file.executable else 0o644)
    return count
