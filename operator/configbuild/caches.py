"""Keeps the caches within a limit: what was not used for longest goes first, and goes whole.

Only the installer knows which files of its cache belong together. A cache that is gone costs the
next build a download. Builds hold the caches of their namespace (:func:`hold`), and none of these
is removed meanwhile.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from configbuild.files import remove_tree
from configbuild.layout import BuildPaths

_LOCK = ".lock"
# What stat(2) counts in, whatever the file system does.
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One cache, of a namespace or of a config; ``used`` is when a build last began with it."""

    path: Path
    namespace: Path
    used: float
    size_bytes: int


def hold(paths: BuildPaths) -> int:
    """Make the caches of a build, note that they are used, and keep them from being removed.

    Returns a descriptor; closing it lets go. Blocks while caches of the namespace are removed.
    """
    paths.cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(paths.cache / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for caches in (paths.caches, paths.own_caches, paths.index_caches):
            for folder in (caches.uv, caches.pip):
                folder.mkdir(parents=True, exist_ok=True)
        for used in (paths.caches.uv, paths.caches.pip, paths.own_cache):
            os.utime(used)
    except BaseException:
        os.close(lock)
        raise
    return lock


async def keep_trimmed(root: Path, *, limit_bytes: int, interval_s: float) -> None:
    """Trim the caches below ``root`` again and again, in a thread, until cancelled."""
    while True:
        await asyncio.to_thread(trim, root, limit_bytes=limit_bytes)
        await asyncio.sleep(interval_s)


def trim(root: Path, *, limit_bytes: int) -> list[Path]:
    """Remove caches until the rest is within the limit, or in use; returns those removed."""
    caches = sorted(find_caches(root), key=lambda cache: cache.used)
    excess = sum(cache.size_bytes for cache in caches) - limit_bytes
    removed = []
    for cache in caches:
        if excess <= 0:
            break
        with _unused(cache.namespace) as unused:
            if unused:
                remove_tree(cache.path)
                removed.append(cache.path)
                excess -= cache.size_bytes
    return removed


def find_caches(root: Path) -> list[Cache]:
    """Find all caches below ``root``, and how large they are."""
    return [
        Cache(
            path=path,
            namespace=namespace,
            used=path.stat().st_mtime,
            size_bytes=_size_bytes(path),
        )
        # Names with a dot are no namespaces: scratch is one of them.
        for namespace in root.glob("[!.]*")
        for path in (namespace / "uv", namespace / "pip", *namespace.glob("configs/*"))
        if path.is_dir()
    ]


@contextmanager
def _unused(namespace: Path) -> Iterator[bool]:
    """Hold a namespace's caches alone; gives whether that could be had, and does not wait."""
    lock = os.open(namespace / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def _size_bytes(directory: Path) -> int:
    """Add up what the files below a directory take on disk, each once however often it is linked.

    What vanishes or cannot be entered counts as nothing: a build may be at work there.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.lstat(f"{parent}/{name}")
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * _BLOCK_BYTES
    return total
