"""How much the caches take on disk, measured now and then."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

# Walking a cache of 100,000 files takes a second of one core, and caches grow by the hour.
_MEASURE_EVERY_S = 600.0


async def measure(root: Path, tell: Callable[[float], None]) -> None:
    """Tell the size of a tree now and then, until cancelled; one that is not there has none."""
    while True:
        try:
            tell(await asyncio.to_thread(bytes_on_disk, root))
        except OSError as error:
            logger.warning("%s cannot be measured: %s", root, error)
        await asyncio.sleep(_MEASURE_EVERY_S)


def bytes_on_disk(root: Path) -> int:
    """Add up what the files below a directory take. Blocking.

    A file that has several names counts once. What goes away meanwhile is left out.
    """
    found, seen = 0, set()
    waiting = [str(root)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    told = entry.stat(follow_symlinks=False)
                    if told.st_nlink > 1:
                        if told.st_ino in seen:
                            continue
                        seen.add(told.st_ino)
                    found += told.st_blocks * 512  # POSIX: st_blocks has this unit everywhere
        except FileNotFoundError:
            continue
    return found
