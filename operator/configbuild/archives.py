"""Archives read file by file: ``.zip`` and ``.tar`` (also gzip, bzip2, xz, Zstandard). Pure.

Nothing is unpacked by the archive's own rules, so no entry can leave a directory. What cannot be a
source file is refused, never skipped: links, devices, absolute paths, ``..``. Only what lies beside
the folder that is wanted is passed over, and counted all the same. Sizes are counted as bytes come
out, not as headers promise. Source: PEP 706 (the ``data`` filter), with links refused outright.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Self, cast

_CHUNK = 1 << 16

# The longest path takes 4 KiB; source trees have no extended attributes to speak of.
_LARGEST_HEADER = 8192

# tarfile reads blocks and long headers in one piece each, zipfile not at all through here.
_LARGEST_READ = 1 << 20

# NAME_MAX of Linux: a longer name cannot be written on any of its file systems.
_LONGEST_NAME = 255

# What is still small is never a bomb: a tree of empty files packs a thousand to one.
_RATIO_FREE_BYTES = 1 << 20


class ArchiveError(ValueError):
    """The archive is broken, too large, or holds something that is no plain file or folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """A file of a source tree, in memory."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a source tree may hold: files, and bytes when unpacked.

    ``ratio``: so many times its own size an archive may hold, beyond the first MiB.
    """

    files: int = 10_000
    bytes: int = 128 * 1024 * 1024
    ratio: int = 200


def read_archive(data: bytes, limits: Limits) -> dict[str, TreeFile]:
    """Read every file of an archive; :class:`ArchiveError` says which entry is at fault."""
    return dict(archive_files(io.BytesIO(data), limits))


def archive_files(
    archive: IO[bytes], limits: Limits, *, below: str = "."
) -> Iterator[tuple[str, TreeFile]]:
    """Yield the files of an archive, one in memory at a time, by their paths in normal form.

    ``below`` is a folder in normal form: files elsewhere are passed over, and paths begin there.
    :class:`ArchiveError` says which entry is at fault, at the latest when it is come to.
    """
    names = _Names()
    budget = _Budget(_most_bytes(archive, limits), limits.files)
    try:
        for entry in _entries(archive, limits):
            if entry.folder:
                continue  # files bring their folders; "./" is one that many archives begin with
            path = clean_path(entry.name)
            inside = _below(path, below)
            if inside is None:
                budget.pass_over(entry.skipped_bytes, path)
            else:
                names.add(path)
                yield inside, budget.read(entry, path)
    except ArchiveError:
        raise
    except Exception as error:
        # A damaged archive makes zipfile, tarfile and their decompressors raise nearly anything.
        raise ArchiveError(
            f"not a readable .zip or .tar archive: {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file or folder of an archive; ``open`` refuses what is neither.

    ``skipped_bytes`` must be gone through to get past it.
    """

    name: str
    folder: bool
    executable: bool
    skipped_bytes: int
    open: Callable[[], IO[bytes]]


def _most_bytes(archive: IO[bytes], limits: Limits) -> int:
    size = archive.seek(0, io.SEEK_END)
    archive.seek(0)
    return min(limits.bytes, max(_RATIO_FREE_BYTES, limits.ratio * size))


def _below(path: str, folder: str) -> str | None:
    """Give the path from ``folder`` on; ``None`` if it is not below it."""
    if folder == ".":
        return path
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else None


def _entries(archive: IO[bytes], limits: Limits) -> Iterator[_Entry]:
    # By the first bytes: a tar may well hold a zip, whose directory zipfile would find at its end.
    start = archive.read(6)
    archive.seek(0)
    if start.startswith(b"PK"):
        with zipfile.ZipFile(archive) as packed:
            yield from _zip_entries(packed, limits)
    else:
        with (
            _decompressed(archive, start) as plain,
            tarfile.open(fileobj=_SmallReads(plain), mode="r:", tarinfo=_Member) as packed,
        ):
            yield from _tar_entries(packed, limits)


def _decompressed(archive: IO[bytes], start: bytes) -> IO[bytes]:
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=archive))
    if start.startswith(b"BZh"):
        return bz2.BZ2File(archive)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(archive)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstandard(archive)
    return archive


def _zstandard(archive: IO[bytes]) -> IO[bytes]:
    """Open it by the standard library, which can from Python 3.14 on (PEP 784)."""
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError:
        raise ArchiveError(
            "packed with Zstandard, which the operator's Python cannot read; use gzip or xz"
        ) from None
    return cast("IO[bytes]", zstd.ZstdFile(archive))


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


def _zip_entries(archive: zipfile.ZipFile, limits: Limits) -> Iterator[_Entry]:
    for number, info in enumerate(archive.infolist()):
        _count(number, limits)
        mode = info.external_attr >> 16
        yield _Entry(
            name=info.filename,
            folder=info.is_dir() and stat.S_IFMT(mode) in (0, stat.S_IFDIR),
            executable=bool(mode & 0o100),
            skipped_bytes=0,
            open=partial(_open_in_zip, archive, info),
        )


def _open_in_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or info.is_dir():
        raise ArchiveError(f"{info.filename!r} is neither a file nor a folder")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile inflates others without a bound; nobody's tools write them unasked.
        raise ArchiveError(f"{info.filename!r} is neither stored nor deflated")
    return archive.open(info)


def _tar_entries(archive: tarfile.TarFile, limits: Limits) -> Iterator[_Entry]:
    for number, member in enumerate(archive):
        _count(number, limits)
        yield _Entry(
            name=member.name,
            folder=member.isdir(),
            executable=bool(member.mode & 0o100),
            skipped_bytes=member.size,
            open=partial(_open_in_tar, archive, member),
        )


def _open_in_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        raise ArchiveError(f"{member.name!r} is neither a file nor a folder")
    return file


def _count(number: int, limits: Limits) -> None:
    """Count folders too: an archive can hold a million of them in a few kilobytes."""
    if number >= 2 * limits.files:
        raise ArchiveError(f"more than {2 * limits.files} files and folders")


class _Names:
    """The files and folders that an archive has brought so far.

    Two names that a file system might take for one (other case, or another form of an umlaut) count
    as one: a volume may well be a network share that does.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, path: str) -> None:
        """Note a file; refuse it if it is there twice, or is a folder of another."""
        name = unicodedata.normalize("NFC", path).casefold()
        if name in self._files:
            raise ArchiveError(f"{path!r} is in the archive twice")
        parents = {"/".join(name.split("/")[:depth]) for depth in range(1, name.count("/") + 1)}
        self._folders |= parents
        for clash in (parents & self._files) | ({name} & self._folders):
            raise ArchiveError(f"{clash!r} is both a file and a folder")
        self._files.add(name)


class _Budget:
    """Bytes and files that may still come out of an archive."""

    def __init__(self, most_bytes: int, most_files: int) -> None:
        self._bytes = most_bytes
        self._files = most_files
        self._read = 0

    def read(self, entry: _Entry, path: str) -> TreeFile:
        """Read a whole file."""
        if self._read >= self._files:
            raise ArchiveError(f"more than {self._files} files")
        self._read += 1
        with entry.open() as file:
            content = _read_at_most(file, self._bytes, path)
        self._bytes -= len(content)
        return TreeFile(content=content, executable=entry.executable)

    def pass_over(self, size: int, path: str) -> None:
        """Count what is not read: it is decompressed all the same."""
        self._bytes -= size
        if self._bytes < 0:
            raise ArchiveError(f"too large when unpacked (at {path!r})")


def clean_path(path: str) -> str:
    """Write an entry's path in its normal form; :class:`ArchiveError` if it leaves the tree."""
    if path.startswith("/") or "\\" in path or "\0" in path:
        raise ArchiveError(f"{path!r} is not a relative path with forward slashes")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise ArchiveError(f"{path!r} leaves the source tree")
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise ArchiveError(f"a name in {path[:80]!r} is longer than {_LONGEST_NAME} bytes")
    return "/".join(parts)


def _read_at_most(file: IO[bytes], budget: int, path: str) -> bytes:
    pieces = []
    while piece := file.read(_CHUNK):
        budget -= len(piece)
        if budget < 0:
            raise ArchiveError(f"too large when unpacked (at {path!r})")
        pieces.append(piece)
    return b"".join(pieces)
