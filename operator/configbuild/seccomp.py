"""A seccomp filter (seccomp(2)) for what Landlock leaves open.

What it denies fails with EPERM; nobody is killed for trying. Standard library only, for the
launcher imports it.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

# By machine: the word for it in audit(7), and the column of the tables below.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# On x86_64 these numbers are the same calls once more, for the x32 ABI.
_X32_BIT = 0x40000000

# Numbers of system calls on x86_64 and aarch64 (arch/x86/entry/syscalls/syscall_64.tbl and
# include/uapi/asm-generic/unistd.h).
_DENIED = {
    # Looking into other processes and changing them. Landlock denies most of it; this is not in
    # every version of it, and costs nothing.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # What all processes of a user or of a pod share, outside of all paths.
    "shmget": (29, 194),
    "shmctl": (31, 195),
    "shmat": (30, 196),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "semop": (65, 193),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Large parts of the kernel that no build needs, and in which most holes were found.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    # A new user namespace has all capabilities inside.
    "unshare": (272, 97),
    "setns": (308, 268),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_SOCKET = (41, 198)

# CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID and _NEWNET (linux/sched.h).
_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x60000000

# For oneself these may be called, which is what 0 means to them; not for others of the same user.
# By name: numbers, and what the first arguments must be.
_FOR_ONESELF = {
    "prlimit64": ((302, 261), (0,)),
    "sched_setaffinity": ((203, 122), (0,)),
    "sched_setparam": ((142, 118), (0,)),
    "sched_setscheduler": ((144, 119), (0,)),
    "sched_setattr": ((314, 274), (0,)),
    "setpriority": ((141, 140), (0, 0)),  # PRIO_PROCESS, 0
    "ioprio_set": ((251, 30), (1, 0)),  # IOPRIO_WHO_PROCESS, 0
}

# AF_UNIX, and with a network AF_INET, AF_INET6 and AF_NETLINK, by which resolvers ask for the
# addresses of this machine.
_LOCAL_FAMILIES = (1,)
_NETWORK_FAMILIES = (1, 2, 10, 16)

# Instructions of classic BPF (linux/bpf_common.h), and what a filter returns (linux/seccomp.h).
_LOAD, _RETURN = 0x20, 0x06
_IF_EQUAL, _IF_NOT_LESS, _IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW = 0x7FFF0000
_DENY = 0x00050000 | errno.EPERM
# The C library takes it for a kernel without clone3 and calls clone, whose flags can be seen here.
_UNKNOWN = 0x00050000 | errno.ENOSYS

# Where struct seccomp_data has these; of arguments the lower half counts, little-endian.
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT, _ARGUMENT_BYTES = 0, 4, 16, 8

_SET_SECCOMP, _MODE_FILTER = 22, 2  # of prctl(2)


def is_known(machine: str) -> bool:
    """Whether there is a filter for this kind of machine (``uname -m``)."""
    return machine in _MACHINES


def install(*, network: bool) -> None:
    """Filter the system calls of this process for good; no_new_privs must be set.

    Without ``network`` there are no sockets but those of this machine. ``OSError`` if the kernel
    refuses, or if this machine is not :func:`is_known`.
    """
    code = compiled(network=network)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: the number of instructions, and where they are.
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    if _libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


@functools.cache
def compiled(*, network: bool) -> bytes:
    """Write the filter of this machine; again only in a process that never did."""
    machine = os.uname().machine
    if not is_known(machine):
        raise OSError(errno.ENOSYS, f"no seccomp filter for {machine}")
    return b"".join(_program(*_MACHINES[machine], network=network))


def _program(audit: int, column: int, *, network: bool) -> Iterable[bytes]:
    """Write the filter, instruction by instruction; every branch ends in a verdict."""
    yield from (_load(_MACHINE_AT), _jump(_IF_EQUAL, audit, over=1, otherwise=0), _verdict(_DENY))
    yield _load(_NUMBER_AT)
    yield from (_jump(_IF_NOT_LESS, _X32_BIT, over=0, otherwise=1), _verdict(_DENY))
    for numbers in _DENIED.values():
        yield from _case(numbers[column], [_verdict(_DENY)])
    yield from _case(_CLONE3[column], [_verdict(_UNKNOWN)])
    yield from _case(
        _CLONE[column],
        [
            _load(_ARGUMENTS_AT),
            _jump(_IF_ANY_BIT, _NEW_NAMESPACES, over=0, otherwise=1),
            _verdict(_DENY),
            _verdict(_ALLOW),
        ],
    )
    for numbers, wanted in _FOR_ONESELF.values():
        yield from _case(numbers[column], list(_all_equal(wanted)))
    families = _NETWORK_FAMILIES if network else _LOCAL_FAMILIES
    yield from _case(_SOCKET[column], list(_first_among(families)))
    yield _verdict(_ALLOW)


def _case(number: int, block: list[bytes]) -> list[bytes]:
    return [_jump(_IF_EQUAL, number, over=0, otherwise=len(block)), *block]


def _all_equal(wanted: tuple[int, ...]) -> Iterable[bytes]:
    for index, value in enumerate(wanted):
        yield _load(_ARGUMENTS_AT + index * _ARGUMENT_BYTES)
        yield from (_jump(_IF_EQUAL, value, over=1, otherwise=0), _verdict(_DENY))
    yield _verdict(_ALLOW)


def _first_among(values: tuple[int, ...]) -> Iterable[bytes]:
    yield _load(_ARGUMENTS_AT)
    for value in values:
        yield from (_jump(_IF_EQUAL, value, over=0, otherwise=1), _verdict(_ALLOW))
    yield _verdict(_DENY)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, 0, 0, offset)


def _jump(kind: int, value: int, *, over: int, otherwise: int) -> bytes:
    return _instruction(kind, over, otherwise, value)


def _verdict(value: int) -> bytes:
    return _instruction(_RETURN, 0, 0, value)


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
