"""Archives read into memory: ``.zip`` and ``.tar`` (also gzip, bzip2, xz), files by path. Pure.

Nothing is unpacked to disk, so no entry can leave a directory. What cannot be a source file is
refused, never skipped: links, devices, absolute paths, ``..``. Sizes are counted as bytes come out,
not as headers promise. Source: PEP 706 (the ``data`` filter), with links refused outright.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Self, cast

_CHUNK = 1 << 16

# The longest path takes 4 KiB; source trees have no extended attributes to speak of.
_LARGEST_HEADER = 8192

# tarfile reads blocks and long headers in one piece each, zipfile not at all through here.
_LARGEST_READ = 1 << 20


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
    folders: set[str] = set()
    budget = limits.bytes
    try:
        for path, file, executable in _entries(data, limits):
            if len(files) >= limits.files:
                raise ArchiveError(f"more than {limits.files} files")
            content = _read_at_most(file, budget, path)
            budget -= len(content)
            _refuse_clash(path, files, folders)
            files[path] = TreeFile(content=content, executable=executable)
    except ArchiveError:
        raise
    except Exception as error:
        # A damaged archive makes zipfile, tarfile and their decompressors raise nearly anything.
        raise ArchiveError(
            f"not a readable .zip or .tar archive: {type(error).__name__}: {error}"
        ) from error
    return files


def _entries(data: bytes, limits: Limits) -> Iterator[tuple[str, IO[bytes], bool]]:
    # By the first bytes: a tar may well hold a zip, whose directory zipfile would find at its end.
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from _zip_entries(archive, limits)
    else:
        with (
            _decompressed(data) as plain,
            tarfile.open(fileobj=_SmallReads(plain), mode="r:", tarinfo=_Member) as archive,
        ):
            yield from _tar_entries(archive, limits)


def _decompressed(data: bytes) -> IO[bytes]:
    buffer = io.BytesIO(data)
    if data.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=buffer))
    if data.startswith(b"BZh"):
        return bz2.BZ2File(buffer)
    if data.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(buffer)
    return buffer


class _Member(tarfile.TarInfo):
    """Refuses long headers before tarfile parses them, in quadratic time (CVE-2024-6232)."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE) and (
            info.size > _LARGEST_HEADER
        ):
            raise ArchiveError(f"an entry's header is larger than {_LARGEST_HEADER} bytes")
        return info


class _SmallReads(io.RawIOBase):
    """Refuses large reads: tarfile reads a header, however long it claims to be, in one piece."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise ArchiveError(f"an entry asks for more than {_LARGEST_READ} bytes at once")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _zip_entries(archive: zipfile.ZipFile, limits: Limits) -> Iterator[tuple[str, IO[bytes], bool]]:
    for number, info in enumerate(archive.infolist()):
        _count(number, limits)
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(f"{info.filename!r} is neither a file nor a folder")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # zipfile inflates others without a bound; nobody's tools write them unasked.
            raise ArchiveError(f"{info.filename!r} is neither stored nor deflated")
        if not info.is_dir():
            with archive.open(info) as file:
                yield clean_path(info.filename), file, bool(mode & 0o100)


def _tar_entries(archive: tarfile.TarFile, limits: Limits) -> Iterator[tuple[str, IO[bytes], bool]]:
    for number, member in enumerate(archive):
        _count(number, limits)
        if member.isdir():
            continue
        file = archive.extractfile(member) if member.isreg() else None
        if file is None:
            raise ArchiveError(f"{member.name!r} is neither a file nor a folder")
        yield clean_path(member.name), file, bool(member.mode & 0o100)


def _count(number: int, limits: Limits) -> None:
    """Count folders too: an archive can hold a million of them in a few kilobytes."""
    if number >= 2 * limits.files:
        raise ArchiveError(f"more than {2 * limits.files} files and folders")


def _refuse_clash(path: str, files: Mapping[str, TreeFile], folders: set[str]) -> None:
    """Refuse a file that is there twice, or that is a folder of another; notes its folders."""
    if path in files:
        raise ArchiveError(f"{path!r} is in the archive twice")
    parents = {"/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)}
    folders |= parents
    for clash in (parents & files.keys()) | ({path} & folders):
        raise ArchiveError(f"{clash!r} is both a file and a folder")


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
