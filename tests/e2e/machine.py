"""What a machine must let us do, each found out by doing it: a container's root may do little.

A right that is missing is the machine's limit, and is told before minutes of building. A program
that is missing is ours to install (`tests.e2e.parts`).
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.configuration import CGROUP

_CGROUPS = Path("/sys/fs/cgroup")

# Of cgroups of version 1, those that runc makes one in for each container; others may be read-only.
_CONTROLLERS = ("cpu", "memory", "pids", "devices")

# All of it takes a fraction of a second; what hangs is not to be had.
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing that the node does, tried in namespaces that end with it."""

    right: str
    argv: Sequence[str]

    def problem(self) -> str | None:
        """Try it; tell what is in the way, or ``None``."""
        try:
            done = subprocess.run(
                self.argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{self.right}: {error}"
        if done.returncode == 0:
            return None
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
        return f"{self.right}: {words}"


_NAMESPACES = (
    *("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork"),
    *("--mount-proc", "--kill-child"),
)


def _inside(script: str) -> Sequence[str]:
    return (*_NAMESPACES, "sh", "-ec", script)


_NAMESPACES_OF_ITS_OWN = Probe(
    right="make namespaces (CAP_SYS_ADMIN: mount, network, process, host name, IPC)",
    argv=(*_NAMESPACES, "true"),
)

# In the directory where images are made and unpacked: not every file system can be below a layer.
_OVERLAY = """
directory=$(mktemp -d)
trap 'cd /; umount "$directory/merged" 2> /dev/null; rm -rf "$directory"' EXIT
cd "$directory"
mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
"""

_NFT = "nft 'add table ip probe; add chain ip probe c { type nat hook output priority 0; }'"

PROBES = (
    Probe(right="mount file systems (tmpfs)", argv=_inside("mount -t tmpfs tmpfs /run")),
    Probe(right="mount layers where images are kept (overlay)", argv=_inside(_OVERLAY)),
    Probe(
        right="make network interfaces (CAP_NET_ADMIN: veth, bridge)",
        argv=_inside(
            "ip link add probe0 type veth peer name probe1; ip link add probe2 type bridge"
        ),
    ),
    Probe(
        right="forward packets (write /proc/sys/net/ipv4/ip_forward)",
        argv=_inside("echo 1 > /proc/sys/net/ipv4/ip_forward"),
    ),
    Probe(right="translate addresses (nftables)", argv=_inside(_NFT)),
)


def missing_rights() -> list[str]:
    """Name what this machine does not let us do, and with which words it says so."""
    if (problem := _NAMESPACES_OF_ITS_OWN.problem()) is not None:
        return [problem]  # the others are tried in them
    found = [problem for probe in PROBES if (problem := probe.problem()) is not None]
    if (problem := _cgroup_problem()) is not None:
        found.append(problem)
    return found


def _cgroup_problem() -> str | None:
    """Make a cgroup where runc would, and remove it."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    parents = [_CGROUPS] if unified else [_CGROUPS / name for name in _CONTROLLERS]
    for parent in parents:
        probe = parent / f"{CGROUP}-probe"
        try:
            probe.mkdir()
        except OSError as error:
            return f"make cgroups in {parent}: {error.strerror}"
        with contextlib.suppress(OSError):
            probe.rmdir()
    return None
