"""Narrows what a process may do, for good: what the launcher's child calls before it is a command.

What is denied and to whom is decided in :mod:`configbuild.sandbox`; here the kernel is told, in an
order in which each act still can. Standard library only, and of this package only the two modules
that do the same for one mechanism each.
"""

# pathlib alone would add a fifth to the time that all imports of the launcher take.
# ruff: noqa: PTH123

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct

from configbuild import landlock, seccomp

_libc = ctypes.CDLL(None, use_errno=True)

_SET_NO_NEW_PRIVS = 38  # of prctl(2)
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h

# What a process may reserve without using it, threads and mapped files among it, is several times
# what it uses. RLIMIT_AS bounds it all the same, for shared memory is counted nowhere else.
_ADDRESS_SPACE_PER_MEMORY = 4

# Should memory run out, the kernel ends commands first and the operator last.
_OOM_SCORE = b"1000"


class CageRequest:
    """A cage as it travels to the launcher; see :class:`configbuild.cage.Cage`."""

    __slots__ = (
        "file_bytes",
        "memory_bytes",
        "open_files",
        "ports",
        "processes",
        "readable",
        "writable",
    )

    def __init__(
        self,
        *,
        readable: list[str],
        writable: list[str],
        ports: list[int],
        memory_bytes: int,
        processes: int,
        file_bytes: int,
        open_files: int,
    ) -> None:
        self.readable = readable
        self.writable = writable
        self.ports = ports
        self.memory_bytes = memory_bytes
        self.processes = processes
        self.file_bytes = file_bytes
        self.open_files = open_files


def problem() -> str | None:
    """Say why nothing can be confined on this machine; ``None``: it can."""
    if landlock.version() == 0:
        return (
            "the kernel has no Landlock (Linux 5.13 and later have it, unless it is left out of"
            " the kernel's lsm= list or forbidden by the container's seccomp profile)"
        )
    machine = os.uname().machine
    if not seccomp.is_known(machine):
        return f"there is no seccomp filter for {machine} machines"
    return None


def gaps() -> list[str]:
    """List what this kernel cannot deny, though later ones can."""
    abi = landlock.version()
    found = []
    if 0 < abi < landlock.NET_SINCE:
        found.append("TCP connections to any port (Linux 6.7 denies them)")
    if 0 < abi < landlock.SCOPES_SINCE:
        found.append("signals to the operator, and abstract sockets (Linux 6.12 denies them)")
    return found


def prepare() -> None:
    """Make once what every cage needs, in the process that will be forked for each.

    Nothing depends on it but time: what is not there yet, :func:`confine` makes in the child.
    """
    if problem() is None:
        for network in (True, False):
            seccomp.compiled(network=network)


def confine(cage: CageRequest) -> None:
    """Confine this process and all that it will start; ``OSError`` if anything is refused."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", 0) as file:
        file.write(_OOM_SCORE)
    _limit(cage)
    _drop_capabilities()
    # Without it neither Landlock nor seccomp is to be had, and setuid programs would be a way out.
    _check(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    landlock.restrict(
        readable=cage.readable,
        writable=cage.writable,
        ports=cage.ports,
        abi=landlock.version(),
    )
    seccomp.install(network=bool(cage.ports))


def _limit(cage: CageRequest) -> None:
    memory = cage.memory_bytes
    for kind, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_AS, _ADDRESS_SPACE_PER_MEMORY * memory),
        (resource.RLIMIT_NPROC, cage.processes),
        (resource.RLIMIT_FSIZE, cage.file_bytes),
        (resource.RLIMIT_NOFILE, cage.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        # Never above what holds already: raising it would need a right.
        _, ceiling = resource.getrlimit(kind)
        value = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        resource.setrlimit(kind, (value, value))


def _drop_capabilities() -> None:
    """Give up what root has beyond others; with no_new_privs it does not come back by exec."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    none = bytes(2 * 3 * 4)  # effective, permitted, inheritable; twice, for 64 of them
    _check(_libc.capset(header, none), "capset")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
