"""The small process between the operator and one build: it starts commands and ends them whole.

Run as ``python -I -S -E launcher.py FD`` by :mod:`configbuild.process`, one for each build. ``FD``
is its end of a SOCK_SEQPACKET socket pair, the control socket; every packet is one JSON object:

======================  ====================================================================
from the operator       answer
======================  ====================================================================
(nothing, at start)     ``{"ready": true, "unconfined": …}``, or ``{"error": …}`` where it cannot
                        work; ``unconfined`` says why no command can be confined here, or is null
``{"op": "run"}``       once the command and all that it started are gone: an *exit* ``{"code",
                        "signal", "killed", "max_rss_kib", "user_s", "system_s", "duration_s"}``,
                        or a *refusal* ``{"errno", "path"}`` when it could not be started
``{"op": "stop",        none of its own: SIGTERM to the whole tree, SIGKILL when the grace is over,
"grace_s": …}``         and then the answer to the run; without a run it is ignored
end of file             none: SIGKILL to the whole tree, then the launcher exits
======================  ====================================================================

With a run come three file descriptors: one that holds the request ``{"argv", "env", "cwd",
"umask", "cage"}`` as JSON (packets are limited in size, environments need not be), then what
becomes standard output and standard error. A ``cage`` of ``null`` means that there is none.

Why a process of its own: as child subreaper it inherits every orphan below it, so that nothing can
leave its tree; the end of the control socket tells it of the operator's death, even by SIGKILL; and
fork is safe here, as it is not in a threaded operator. Why it imports so little: it is started for
each build and stays in memory as long. Standard library only, and of this package the modules that
confine a command, which are no more than that.
"""

# pathlib alone would add a fifth to the time that all these imports take.
# ruff: noqa: PTH100, PTH110, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator

# Run by path and isolated, so this package is found nowhere until it is said where it is.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configbuild.confinement import CageRequest, confine, prepare, problem

del sys.path[0]

# Packets hold a word and a number; what is large travels in a file of its own.
PACKET_BYTES = 4096
FD_BYTES = 4
RUN_FDS = 3

# Options of prctl, from linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# How often the tree is searched for processes that are not stopped yet before the kill: enough for
# any that do not fork faster than they are found, and an end for those that do.
STOP_PASSES = 10
# A killed process is gone within milliseconds; this is when to look again if no word comes of it.
REAP_S = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


class Request:
    """One command to run, as the operator asked for it."""

    __slots__ = ("argv", "cage", "cwd", "env", "umask")

    def __init__(
        self,
        *,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        umask: int,
        cage: dict[str, object] | None,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.umask = umask
        self.cage = None if cage is None else CageRequest(**cage)  # type: ignore[arg-type]


class Tree:
    """All processes below the launcher: one command, its *child*, and what that started.

    An orphan below the launcher becomes the launcher's own child, so no children means that nobody
    is left. That is the only proof of it, and what :meth:`kill` works towards.
    """

    def __init__(self, child: int, wakeups: int) -> None:
        self.child = child
        self.wakeups = wakeups
        self.status: int | None = None
        self.begun = self.ended = time.monotonic()
        self.killed = 0
        self.max_rss_kib = 0
        self.user_s = 0.0
        self.system_s = 0.0

    def reap(self) -> bool:
        """Collect those that died; whether any process is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.max_rss_kib = max(self.max_rss_kib, usage.ru_maxrss)
            self.user_s += usage.ru_utime
            self.system_s += usage.ru_stime
            if pid == self.child and self.status is None:
                self.status = os.waitstatus_to_exitcode(status)
                self.ended = time.monotonic()
            elif os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
                self.killed += 1

    def terminate(self) -> None:
        """Ask every process to end."""
        for pid in descendants():
            send_signal(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill and reap until nobody is left, however fast they fork.

        They are stopped first: who is stopped forks no more, starts nobody anew who was killed
        before him, and reaps nobody, so that no pid found here can become somebody else's. Groups
        are signalled whole, in one act that no fork slips through.
        """
        while self.reap():
            found: set[int] = set()
            for _ in range(STOP_PASSES):
                if not self._stop_others(found):
                    break
            for pid in found:
                send_signal(pid, signal.SIGKILL)
            self._await_death()

    def _stop_others(self, found: set[int]) -> bool:
        """Stop all processes not yet in ``found`` and add them; whether there were any."""
        before = len(found)
        own = os.getpid()
        for pid in children(own):
            # Reaped by nobody but us, so neither this pid nor its group can be somebody else's.
            # A child has our own group until its setsid().
            if pid not in found and (group := process_group(pid)) not in (0, own):
                send_signal(-group, signal.SIGSTOP)
        for pid in descendants():
            if pid not in found:
                send_signal(pid, signal.SIGSTOP)
                found.add(pid)
        return len(found) > before

    def _await_death(self) -> None:
        if select.select([self.wakeups], [], [], REAP_S)[0]:
            os.read(self.wakeups, PACKET_BYTES)


def children(pid: int) -> list[int]:
    """List the children of all threads of a process; none if it is gone or not ours to see."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    return found


def descendants() -> Iterator[int]:
    """Walk the tree; a process's children are looked up after the caller dealt with it itself."""
    pending = children(os.getpid())
    while pending:
        pid = pending.pop()
        yield pid
        pending += children(pid)


def process_group(pid: int) -> int:
    """Look up the process group of ``pid``; 0 if it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def send_signal(pid: int, number: int) -> None:
    """Signal a process, or with ``-pid`` a group, which may be gone or not be ours to signal."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def prctl(option: int, argument: int) -> None:
    """Set an attribute of this process; ``OSError`` if the kernel refuses."""
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def become(request: Request, stdout: int, stderr: int, report: int, launcher: int) -> None:
    """Turn the forked child into the command; if that fails, say why through ``report``."""
    try:
        os.setsid()
        # Should the launcher be killed: at least the command itself goes with it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(1)
        # Input stays the launcher's own, /dev/null. What else is open closes on exec, for Python
        # opens everything so, and that is how descriptors are received.
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(request.cwd)
        os.umask(request.umask)
        if request.cage is not None:
            confine(request.cage)
        # A signal sent since the fork waited for this, and ends the child as it would the command.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(request.argv[0], request.argv, request.env)  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - a forked child must not go on as a launcher
        os.write(report, json.dumps(refusal(error)).encode())
    finally:
        os._exit(127)


def refusal(error: BaseException) -> dict[str, object]:
    """Make the answer to a run whose command could not be started."""
    if isinstance(error, OSError):
        return {"errno": error.errno, "path": error.filename}
    return {"errno": errno.EINVAL, "path": str(error)}


def start(request: Request, stdout: int, stderr: int) -> tuple[int, int]:
    """Fork the command; its pid, and where the reason arrives if it could not be started."""
    launcher = os.getpid()
    report, child_report = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(report)
        os.close(child_report)
        raise
    if child == 0:
        become(request, stdout, stderr, child_report, launcher)
    os.close(child_report)
    return child, report


def watch(control: socket.socket, tree: Tree) -> None:
    """Wait until the command has exited, or was told to stop and its grace is over.

    ``ConnectionError`` if the operator is gone.
    """
    deadline = math.inf
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(tree.wakeups, select.POLLIN)
    while True:
        tree.reap()
        left_s = deadline - time.monotonic()
        if tree.status is not None or left_s <= 0:
            return
        ready = {fd for fd, _ in poller.poll(None if left_s == math.inf else left_s * 1000)}
        if tree.wakeups in ready:
            os.read(tree.wakeups, PACKET_BYTES)
        if control.fileno() in ready:
            packet, _ = receive(control)
            deadline = min(deadline, time.monotonic() + json.loads(packet)["grace_s"])
            tree.terminate()


def run(control: socket.socket, wakeups: int, fds: list[int]) -> dict[str, object]:
    """Run one command to its end and leave nothing of it behind; the answer to the operator."""
    request_fd, stdout, stderr = fds
    try:
        with open(request_fd, "rb") as file:
            file.seek(0)  # the position is shared with the operator, who wrote the file
            request = Request(**json.load(file))
        child, report = start(request, stdout, stderr)
    except OSError as error:
        return refusal(error)
    finally:
        os.close(stdout)
        os.close(stderr)
    tree = Tree(child, wakeups)
    with open(report, "rb") as report_file:
        try:
            watch(control, tree)
        finally:
            tree.kill()
        refused = report_file.read()
    return json.loads(refused) if refused else outcome(tree)


def outcome(tree: Tree) -> dict[str, object]:
    """Make the answer to a run whose command was started and has ended."""
    status = tree.status
    assert status is not None
    return {
        "code": status if status >= 0 else None,
        "signal": -status if status < 0 else None,
        "killed": tree.killed,
        "max_rss_kib": tree.max_rss_kib,
        "user_s": tree.user_s,
        "system_s": tree.system_s,
        "duration_s": tree.ended - tree.begun,
    }


def receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """Await a packet and the descriptors that come with it; ``ConnectionError`` at the end."""
    packet, ancillary, _, _ = control.recvmsg(
        PACKET_BYTES, socket.CMSG_SPACE(RUN_FDS * FD_BYTES), socket.MSG_CMSG_CLOEXEC
    )
    if not packet:
        raise ConnectionResetError("the operator closed the control socket")
    return packet, [fd for _, _, data in ancillary for fd in memoryview(data).cast("i")]


def watch_children() -> int:
    """Have every death below write to a pipe; block all other signals, for who ends us is EOF.

    Commands start with all dispositions at their defaults: what the operator ignored is reset here.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {signal.SIGCHLD})
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wakeups, wake = os.pipe()
    os.set_blocking(wakeups, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    return wakeups


def serve(control: socket.socket, wakeups: int) -> None:
    """Answer one request after the other; ``ConnectionError`` when the operator is gone."""
    control.send(json.dumps({"ready": True, "unconfined": problem()}).encode())
    prepare()  # while the operator still copies sources
    while True:
        packet, fds = receive(control)
        if json.loads(packet)["op"] == "run":
            control.send(json.dumps(run(control, wakeups, fds)).encode())


def main() -> None:
    """Serve the control socket named on the command line until its other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    own = os.getpid()
    if not os.path.exists(f"/proc/{own}/task/{own}/children"):
        control.send(b'{"error": "the kernel shows no children in /proc (CONFIG_PROC_CHILDREN)"}')
        return
    wakeups = watch_children()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    with contextlib.suppress(ConnectionError):
        serve(control, wakeups)


if __name__ == "__main__":
    main()
