"""What the operator does with files, where plain calls would leave half of something."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
