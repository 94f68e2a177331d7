"""A disk that is full, as the operator itself meets it. Pure."""

from __future__ import annotations

import errno

DISK_FULL = "DiskFull"
"""The reason, the same as where a command meets it."""


def is_disk_full(error: Exception) -> bool:
    """Tell whether a call of our own failed since a volume, or a quota on it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
