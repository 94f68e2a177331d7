"""What the kernel says of processes that it killed for want of memory."""

from __future__ import annotations

from pathlib import Path

_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def oom_kills(*, own_group: Path = _OWN_GROUP, groups: Path = _GROUPS) -> int | None:
    """Count the processes of this one's control group that the kernel has killed so far.

    By whatever limit they were killed, that of the group, of the pod or of the machine. ``None``
    where that is not told: without cgroup v2, or without its memory controller.

    Source: Documentation/admin-guide/cgroup-v2.rst of the kernel (``memory.events``).
    """
    try:
        (path,) = [
            line.removeprefix("0::").lstrip("/")
            for line in own_group.read_text().splitlines()
            if line.startswith("0::")
        ]
        events = (groups / path / "memory.events").read_text()
        counts = dict(line.split() for line in events.splitlines())
        return int(counts["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None
