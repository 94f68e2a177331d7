"""Whether the operator's directories can be written to at all: looked at before anything else.

What is on them is other modules' matter. A full disk is none of this: it passes, and room is made
by removing.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from configbuild.errors import ConfigBuildError
from configbuild.layout import Layout

logger = logging.getLogger(__name__)

_PROBE = ".operator.writable"

_FULL = {errno.ENOSPC, errno.EDQUOT}


class VolumeError(ConfigBuildError):
    """A directory of the operator's cannot be written to."""

    reason = "VolumeNotWritable"


def check_volume(layout: Layout) -> None:
    """Make each directory, and a file in it; :class:`VolumeError` names the first that refuses.

    One that is full is told in the log.
    """
    directories = {
        "ADE_VENVS_DIR": layout.venvs,
        "ADE_LOGS_DIR": layout.logs,
        "ADE_CACHE_DIR": layout.cache,
    }
    for setting, directory in directories.items():
        try:
            _write(directory)
        except OSError as error:
            if error.errno in _FULL:
                logger.warning(
                    "%s is full (%s=%s): builds will fail", directory, setting, directory
                )
                continue
            raise VolumeError(_words(setting, directory, error)) from error


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
