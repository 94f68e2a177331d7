"""Namespaces of the kernel's in which the node lives, and with which everything of it ends.

Mounts, interfaces, nftables rules, network namespaces of pods and every process, daemons too, are
of these namespaces. The kernel removes them when their first process is gone, however it ended.
What it does not remove are empty cgroups and files: `clear` does that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.controlplane import wait_until
from tests.e2e.configuration import CGROUP, NODE

_CGROUPS = Path("/sys/fs/cgroup")

# Killed processes leave their cgroups a moment later.
_EMPTY_TIMEOUT_S = 20.0

# Directories that parts of the node write to wherever they are told to. Each is a file system in
# memory here, and the machine's is not touched.
_OWN = ("/run", "/var/log")


def run_inside(argv: Sequence[str]) -> int:
    """Run a Python module in new namespaces, as their first process; returns its exit code.

    A SIGINT of the terminal reaches it too, so that here it is only waited for. SIGTERM ends it at
    once: with the first process the kernel ends all others.
    """
    command = [
        *("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork"),
        *("--kill-child", "--mount-proc"),
        *(sys.executable, "-m", *argv),
    ]
    process = subprocess.Popen(command)
    previous = signal.signal(signal.SIGTERM, lambda *_: process.kill())
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)


def prepare() -> None:
    """Make the namespaces a machine's: interfaces, a route, directories."""
    for directory in _OWN:
        _run("mount", "-t", "tmpfs", "tmpfs", directory)
    # Both ends are here: the pair stands for a network card that has a carrier.
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "wire0")
    _run("ip", "address", "add", f"{NODE.address}/24", "dev", "node0")
    for interface in ("lo", "node0", "wire0"):
        _run("ip", "link", "set", interface, "up")
    _run("ip", "route", "add", "default", "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _own_library("/var/lib/cni")


def clear(directory: Path) -> None:
    """Remove what the kernel leaves: cgroups, and the node's files."""
    for cgroup in sorted(_CGROUPS.glob(f"**/{CGROUP}")):
        _remove_cgroup(cgroup)
    shutil.rmtree(directory, ignore_errors=True)


def _remove_cgroup(cgroup: Path) -> None:
    def gone() -> bool:
        for path, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        return not cgroup.exists()

    with contextlib.suppress(TimeoutError):
        wait_until(gone, what=f"{cgroup} is empty", timeout_s=_EMPTY_TIMEOUT_S)


def _own_library(path: str) -> None:
    """Mount a file system in memory below /var/lib without leaving a directory there."""
    if not Path(path).is_dir():
        # A layer above the whole of /var/lib: what is made in it is made in memory.
        upper = Path("/run/var-lib")
        for name in ("upper", "work"):
            (upper / name).mkdir(parents=True)
        layers = f"lowerdir=/var/lib,upperdir={upper}/upper,workdir={upper}/work"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, "/var/lib")
        Path(path).mkdir()
    _run("mount", "-t", "tmpfs", "tmpfs", path)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
