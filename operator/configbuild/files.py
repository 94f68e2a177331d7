"""What the operator does with files, where plain calls would leave half of something."""

from __future__ import annotations

import os
import shutil
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
        for folder, _, _ in os.walk(directory):
            Path(folder).chmod(0o700)
        shutil.rmtree(directory)
