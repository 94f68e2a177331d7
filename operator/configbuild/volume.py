"""Whether the operator's directories can be written to: before anything else, and now and then.

What is on them is other modules' matter. At the start a full disk ends nothing: it passes, and room
is made by removing.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from configbuild.errors import ConfigBuildError
from configbuild.layout import Layout
from configbuild.notices import Notices

logger = logging.getLogger(__name__)

_PROBE = ".operator.writable"

# Less than a small venv takes, and than one read of output.
_NO_ROOM_BYTES = 1024 * 1024

# Alerts are raised from metrics, which are read at each scrape; this is for the log and /readyz.
_LOOK_EVERY_S = 60.0

_FULL = {errno.ENOSPC, errno.EDQUOT}


class VolumeError(ConfigBuildError):
    """A directory of the operator's cannot be written to."""

    reason = "VolumeNotWritable"


def check_volume(layout: Layout) -> None:
    """Make each directory, and a file in it; :class:`VolumeError` names the first that refuses.

    One that is full is told in the log.
    """
    for setting, directory in _directories(layout).items():
        try:
            _write(directory)
        except OSError as error:
            if error.errno in _FULL:
                logger.warning(
                    "%s is full (%s=%s): builds will fail", directory, setting, directory
                )
                continue
            raise VolumeError(_words(setting, directory, error)) from error


async def watch_volume(
    layout: Layout, notices: Notices, *, interval_s: float = _LOOK_EVERY_S
) -> None:
    """Warn of directories that cannot be written to any more, until cancelled."""
    while True:
        # A file system that is away may keep who asks waiting.
        for subject, trouble in await asyncio.to_thread(lambda: list(troubles(layout))):
            if trouble is not None:
                notices.begin(subject, trouble)
            else:
                notices.end(subject, f"{subject}: it can be written to again")
        await asyncio.sleep(interval_s)


def troubles(layout: Layout) -> Iterator[tuple[str, str | None]]:
    """Say of each directory, by its setting, why nothing can be written there. Blocking.

    Nothing is written, since others sweep these directories meanwhile.
    """
    for setting, directory in _directories(layout).items():
        yield setting, _trouble(setting, directory)


def is_writable(directory: Path) -> bool:
    """Tell whether this process may write there: rights, and no read-only file system. Blocking."""
    return os.access(directory, os.W_OK | os.X_OK)


def _trouble(setting: str, directory: Path) -> str | None:
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return f"{setting}: {directory} cannot be reached ({error.strerror}); nothing is built"
    if not is_writable(directory):
        refusal = errno.EROFS if found.f_flag & os.ST_RDONLY else errno.EACCES
        return _words(setting, directory, OSError(refusal, os.strerror(refusal)))
    # Some file systems (btrfs) make inodes as they are needed, and tell of none.
    if found.f_bavail * found.f_frsize < _NO_ROOM_BYTES or (found.f_files and not found.f_favail):
        return f"{setting}: {directory} is full: builds will fail"
    return None


def _directories(layout: Layout) -> dict[str, Path]:
    return {
        "ADE_VENVS_DIR": layout.venvs,
        "ADE_LOGS_DIR": layout.logs,
        "ADE_CACHE_DIR": layout.cache,
    }


def _write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    probe = directory / _PROBE
    probe.touch()
    probe.unlink()


def _words(setting: str, directory: Path, error: OSError) -> str:
    who = f"user {os.geteuid()}, group {os.getegid()}"
    cure = (
        "mount the volume without readOnly"
        if error.errno == errno.EROFS
        else "give the volume to that group (fsGroup), or name another directory"
    )
    return f"{setting}: {who} cannot write to {directory} ({error.strerror}); {cure}"
