"""What stands before a command so that it fails: a full disk, little memory, a cage."""

from __future__ import annotations

import sys
from pathlib import Path

# Mounts a file system of a few pages in a mount namespace of its own; needs root.
_FULL_DISK = (
    'mkdir -p "$1" && mount -t tmpfs -o size=16k,nr_inodes=64 none "$1" && shift && exec "$@"'
)

# Landlock (ABI 1): every right but reading and executing is taken away outside the one folder.
# Source: Documentation/userspace-api/landlock.rst of the kernel.
_CAGE = """\
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
WRITES = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))

def call(number, *arguments):
    answer = libc.syscall(number, *arguments)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer

rules = call(444, struct.pack("Q", WRITES), 8, 0)
for folder in (sys.argv[1], "/dev"):
    parent = os.open(folder, os.O_PATH)
    allowed = WRITES if folder != "/dev" else 1 << 1
    call(445, rules, 1, struct.pack("=Qi", allowed, parent), 0)
libc.prctl(38, 1, 0, 0, 0)
call(446, rules, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


def full_disk(folder: Path) -> list[str]:
    """Have ``folder`` be a disk with no room."""
    return ["/usr/bin/unshare", "-m", "/bin/sh", "-c", _FULL_DISK, "sh", str(folder)]


def little_memory(mib: int) -> list[str]:
    """Give the command and all below it so much address space (RLIMIT_AS)."""
    return ["/usr/bin/prlimit", f"--as={mib * 1024 * 1024}"]


def cage(writable: Path) -> list[str]:
    """Let the command write below one folder and nowhere else."""
    return [sys.executable, "-I", "-S", "-c", _CAGE, str(writable)]
