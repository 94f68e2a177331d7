"""What the operator does with files, where plain calls would leave half of something."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole, on disk, or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync_directory(path.parent)


@contextmanager
def open_plain(path: Path) -> Iterator[BufferedReader | None]:
    """Open a file that somebody else may have put there, to read; ``None`` if it is no plain file.

    Not through a link, and without waiting at a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def read_plain(path: Path, most_bytes: int) -> bytes | None:
    """Read such a file; ``None`` also if it is too large."""
    with open_plain(path) as file:
        content = None if file is None else file.read(most_bytes + 1)
    return None if content is None or len(content) > most_bytes else content


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(directory: Path) -> None:
    """Remove a directory and all below it, also where folders are read-only; absent is well."""
    if not directory.is_dir():
        return
    try:
        shutil.rmtree(directory)
    except PermissionError:
        directory.chmod(0o700)
        for parent, folders, _ in os.walk(directory):
            for folder in (Path(parent, name) for name in folders):
                # Before os.walk goes into it, which it could not otherwise.
                if not folder.is_symlink():
                    folder.chmod(0o700)
        shutil.rmtree(directory)


@contextmanager
def file_lock(path: Path, *, busy: Callable[[], None]) -> Iterator[None]:
    """Hold a lock (flock) that one process has at a time; it goes with it, however that ends.

    ``busy`` is called where another holds it: what it raises comes out of here; once it returns,
    the lock is waited for, and the process with it. Folder and file are made, and stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
