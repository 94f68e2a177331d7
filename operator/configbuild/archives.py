"""Archives read into memory: ``.zip`` and ``.tar`` (gzip, bzip2, xz) to files by path. Pure.

Nothing is unpacked to disk, so no entry can leave a directory. What cannot be a source file is
refused, never skipped: links, devices, absolute paths, ``..``. Sizes are counted as bytes come out,
not as headers promise. Source: PEP 706 (the ``data`` filter), with links refused outright.
"""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_CHUNK = 1 << 16


class ArchiveError(ValueError):
    """The archive is broken, too large, or holds something that is no plain file or folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """A file of a source tree, in memory."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a source tree may hold: files, and bytes when unpacked."""

    files: int = 10_000
    bytes: int = 128 * 1024 * 1024


def read_archive(data: bytes, limits: Limits) -> dict[str, TreeFile]:
    """Read every file of an archive; :class:`ArchiveError` says which entry is at fault."""
    files: dict[str, TreeFile] = {}
    budget = limits.bytes
    try:
        for path, file, executable in _entries(data):
            if len(files) >= limits.files:
                raise ArchiveError(f"more than {limits.files} files")
            content = _read_at_most(file, budget, path)
            budget -= len(content)
            if path in files:
                raise ArchiveError(f"{path!r} is in the archive twice")
            files[path] = TreeFile(content=content, executable=executable)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise ArchiveError(f"not a readable .zip or .tar archive: {error}") from error
    return files


def _entries(data: bytes) -> Iterator[tuple[str, IO[bytes], bool]]:
    buffer = io.BytesIO(data)
    if zipfile.is_zipfile(buffer):
        with zipfile.ZipFile(buffer) as archive:
            yield from _zip_entries(archive)
    else:
        buffer.seek(0)
        with tarfile.open(fileobj=buffer, mode="r:*") as archive:
            yield from _tar_entries(archive)


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes], bool]]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(f"{info.filename!r} is neither a file nor a folder")
        if not info.is_dir():
            with archive.open(info) as file:
                yield clean_path(info.filename), file, bool(mode & 0o100)


def _tar_entries(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes], bool]]:
    for member in archive:
        if member.isdir():
            continue
        file = archive.extractfile(member) if member.isreg() else None
        if file is None:
            raise ArchiveError(f"{member.name!r} is neither a file nor a folder")
        yield clean_path(member.name), file, bool(member.mode & 0o100)


def clean_path(path: str) -> str:
    """Write an entry's path in its normal form; :class:`ArchiveError` if it leaves the tree."""
    if path.startswith("/") or "\\" in path or "\0" in path:
        raise ArchiveError(f"{path!r} is not a relative path with forward slashes")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise ArchiveError(f"{path!r} leaves the source tree")
    return "/".join(parts)


def _read_at_most(file: IO[bytes], budget: int, path: str) -> bytes:
    pieces = []
    while piece := file.read(_CHUNK):
        budget -= len(piece)
        if budget < 0:
            raise ArchiveError(f"too large when unpacked (at {path!r})")
        pieces.append(piece)
    return b"".join(pieces)
