"""Landlock (landlock(7)): what a process and its children may reach from now on.

Standard library only, for the launcher imports it: a library for these three system calls would
take longer to import than they take for a whole build. ``OSError`` says what the kernel refused.
"""

# pathlib alone would add a fifth to the time that all imports of the launcher take.

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

# The same numbers on all machines (include/uapi/asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446

# Everything below is from include/uapi/linux/landlock.h.
_VERSION = 1 << 0
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_MAKE_CHAR = 1 << 6
_MAKE_BLOCK = 1 << 11
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15

# The rights that each version of the interface knows: 13 at first, then one more each.
_FS_RIGHTS = {1: _REFER - 1, 2: _TRUNCATE - 1, 3: _IOCTL_DEV - 1, 4: _IOCTL_DEV - 1}
_ALL_FS_RIGHTS = 2 * _IOCTL_DEV - 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
# Nobody builds devices; without privileges nobody could.
_WRITE = _ALL_FS_RIGHTS & ~(_MAKE_CHAR | _MAKE_BLOCK)

_CONNECT_TCP = 1 << 1
_NET_RIGHTS = 1 << 0 | _CONNECT_TCP
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals

NET_SINCE = 4
SCOPES_SINCE = 6


def version() -> int:
    """Tell which version of the interface (ABI) the kernel has; 0: it has none."""
    found: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    # Unknown (ENOSYS), off (EOPNOTSUPP), or filtered by a container's seccomp profile (EPERM).
    return max(found, 0)


def restrict(
    *, readable: Iterable[str], writable: Iterable[str], ports: Iterable[int], abi: int
) -> None:
    """Confine this process for good; no_new_privs must be set.

    ``readable`` may be read and executed, ``writable`` changed as well, with all below it; what is
    readable need not be there. ``ports`` of TCP can be connected to, none can be listened at.
    """
    handled = _FS_RIGHTS.get(abi, _ALL_FS_RIGHTS)
    ruleset = _create(handled, abi)
    try:
        for path in readable:
            try:
                _allow(ruleset, path, handled & _READ)
            except FileNotFoundError:
                continue
        for path in writable:
            _allow(ruleset, path, handled & _WRITE)
        if abi >= NET_SINCE:
            for port in ports:
                rule = struct.pack("=QQ", _CONNECT_TCP, port)
                _call(_ADD_RULE, ruleset, _NET_PORT, rule, 0)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _create(handled: int, abi: int) -> int:
    attributes = struct.pack("=Q", handled)
    if abi >= NET_SINCE:
        attributes += struct.pack("=Q", _NET_RIGHTS)
    if abi >= SCOPES_SINCE:
        attributes += struct.pack("=Q", _SCOPES)
    return _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    # Links are followed: the rule is for what they lead to.
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
