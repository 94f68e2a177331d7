"""What a hostile package tries: one function for each act, one line of output for each attempt.

Standard library only and a single file: it is copied into source trees and run there, by a build
back end or on import. Each act leaves the machine as it was, if it succeeds. What it is done to is
made by :mod:`tests.attacks.targets`.
"""

# Plain calls, close to the system calls that are tried.
# ruff: noqa: PTH104, PTH108, PTH118, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any

Targets = dict[str, Any]
Act = Callable[[Targets], None]

ATTEMPTS: dict[str, Act] = {}

_libc = ctypes.CDLL(None, use_errno=True)


def attempt(act: Act) -> Act:
    ATTEMPTS[act.__name__.replace("_", " ")] = act
    return act


def try_all(aims: str, *, where: str) -> None:
    """Try everything, and say of each whether it succeeded."""
    targets = json.loads(aims)
    for name, act in ATTEMPTS.items():
        try:
            act(targets)
        except (OSError, MemoryError) as error:
            code = errno.errorcode.get(getattr(error, "errno", 0) or 0, type(error).__name__)
            print(f"{where}: {name}: denied: {code}", flush=True)
        else:
            print(f"{where}: {name}: succeeded", flush=True)


def check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def create_in(directory: str) -> None:
    path = os.path.join(directory, f"made by {os.getpid()}")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(path)


@attempt
def read_the_service_account_token(targets: Targets) -> None:
    read(targets["token"])


@attempt
def read_a_source_tree_of_another_namespace(targets: Targets) -> None:
    read(targets["foreign source"])


@attempt
def read_the_cache_of_another_namespace(targets: Targets) -> None:
    read(targets["foreign cache"])


@attempt
def read_the_venv_of_another_build(targets: Targets) -> None:
    read(targets["foreign venv"])


@attempt
def read_the_journal_of_a_build(targets: Targets) -> None:
    read(targets["journal"])


@attempt
def list_the_venvs_of_another_namespace(targets: Targets) -> None:
    os.listdir(os.path.dirname(targets["foreign venv"]))


@attempt
def write_to_the_venv_of_another_build(targets: Targets) -> None:
    os.close(os.open(targets["foreign venv"], os.O_WRONLY | os.O_APPEND))


@attempt
def write_to_the_cache_of_another_namespace(targets: Targets) -> None:
    os.close(os.open(targets["foreign cache"], os.O_WRONLY | os.O_APPEND))


@attempt
def write_to_the_cache_that_the_namespace_shares(targets: Targets) -> None:
    create_in(targets["shared cache"])


@attempt
def write_outside(targets: Targets) -> None:
    create_in(targets["outside"])


@attempt
def write_to_tmp(targets: Targets) -> None:
    create_in("/tmp")


@attempt
def write_to_shared_memory(targets: Targets) -> None:
    create_in("/dev/shm")


@attempt
def link_to_a_file_outside_and_write_through_it(targets: Targets) -> None:
    with tempfile.TemporaryDirectory() as own:
        link = os.path.join(own, "link")
        os.symlink(targets["foreign venv"], link)
        os.close(os.open(link, os.O_WRONLY | os.O_APPEND))


@attempt
def hard_link_a_file_from_outside(targets: Targets) -> None:
    with tempfile.TemporaryDirectory() as own:
        os.link(targets["foreign venv"], os.path.join(own, "link"))


@attempt
def remove_a_file_outside(targets: Targets) -> None:
    aside = targets["removable"] + ".aside"
    os.rename(targets["removable"], aside)
    os.rename(aside, targets["removable"])


@attempt
def read_the_environment_of_the_operator(targets: Targets) -> None:
    read(f"/proc/{targets['pid']}/environ")


@attempt
def read_the_memory_of_the_operator(targets: Targets) -> None:
    read_fd = os.open(f"/proc/{targets['pid']}/mem", os.O_RDONLY)
    os.close(read_fd)


@attempt
def look_into_the_files_of_the_operator(targets: Targets) -> None:
    os.listdir(f"/proc/{targets['pid']}/fd")


@attempt
def trace_the_operator(targets: Targets) -> None:
    seize, detach = 0x4206, 17
    check(_libc.ptrace(seize, targets["pid"], None, None))
    # Detaching wants it stopped.
    interrupt = 0x4207
    check(_libc.ptrace(interrupt, targets["pid"], None, None))
    os.waitpid(targets["pid"], 0x40000000)
    check(_libc.ptrace(detach, targets["pid"], None, None))


@attempt
def signal_the_operator(targets: Targets) -> None:
    os.kill(targets["pid"], signal.SIGCONT)


@attempt
def signal_the_operator_through_a_pidfd(targets: Targets) -> None:
    pidfd = os.pidfd_open(targets["pid"])
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    finally:
        os.close(pidfd)


@attempt
def set_limits_of_the_operator(targets: Targets) -> None:
    resource.prlimit(targets["pid"], resource.RLIMIT_CORE, (0, 0))


@attempt
def set_the_priority_of_the_operator(targets: Targets) -> None:
    os.setpriority(os.PRIO_PROCESS, targets["pid"], os.getpriority(os.PRIO_PROCESS, targets["pid"]))


@attempt
def set_the_processors_of_the_operator(targets: Targets) -> None:
    os.sched_setaffinity(targets["pid"], os.sched_getaffinity(targets["pid"]))


@attempt
def connect_to_a_port_of_this_machine(targets: Targets) -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", targets["port"]))


@attempt
def listen_at_a_port(targets: Targets) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))


@attempt
def connect_to_an_abstract_socket(targets: Targets) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + targets["abstract socket"])


@attempt
def make_shared_memory_by_system_v(targets: Targets) -> None:
    private, mode, remove = 0, 0o600, 0
    check(_libc.shmctl(check(_libc.shmget(private, 4096, mode)), remove, None))


@attempt
def make_a_user_namespace(targets: Targets) -> None:
    new_user = 0x10000000
    child = os.fork()
    if child == 0:
        os._exit(0 if _libc.unshare(new_user) == 0 else ctypes.get_errno())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0:
        raise OSError(code, os.strerror(code))


@attempt
def use_io_uring(targets: Targets) -> None:
    io_uring_setup = 425
    parameters = ctypes.create_string_buffer(120)
    os.close(check(_libc.syscall(io_uring_setup, 1, parameters)))


@attempt
def take_more_memory_than_allowed(targets: Targets) -> None:
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # and never touched
    mmap.mmap(-1, targets["memory_bytes"] + 1, flags=private).close()


@attempt
def write_a_larger_file_than_allowed(targets: Targets) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(targets["file_bytes"] + 1)


@attempt
def open_more_files_than_allowed(targets: Targets) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    descriptors: list[int] = []
    try:
        descriptors.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(targets["open_files"]))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@attempt
def start_more_processes_than_allowed(targets: Targets) -> None:
    """A fork bomb with a fuse: as many as are allowed, and ten more."""
    if os.getuid() == 0:
        # The kernel does not count root's processes; that they are ended whole is shown elsewhere.
        raise OSError(errno.ENOTSUP, "not for root")
    children = []
    try:
        for _ in range(targets["processes"] + 10):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


if __name__ == "__main__":
    try_all(sys.argv[1], where="here")
