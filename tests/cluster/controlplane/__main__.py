"""The control plane from a shell.

    python -m tests.cluster.controlplane assets
    python -m tests.cluster.controlplane up --directory DIR [--with-stdin]

`assets` finds or builds the programs and prints their directory. `up` starts a control
plane, prints a line for the shell, `export KUBECONFIG=…`, and stays until Ctrl-C or
SIGTERM. Progress and errors go to standard error.
"""

from __future__ import annotations

import argparse
import os
import select
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

from .assets import find_or_build
from .errors import ControlPlaneError, StartError
from .plane import ControlPlane

STDIN = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "assets":
            print(find_or_build().directory)
        else:
            _up(options.directory, with_stdin=options.with_stdin)
    except (ControlPlaneError, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell reports it: 128 + SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.controlplane",
        description="A real Kubernetes control plane, without a node and without a registry.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "assets", help="find or build the programs, and print the directory they are in"
    )
    up = commands.add_parser("up", help="run a control plane until Ctrl-C or SIGTERM")
    up.add_argument("--directory", type=Path, required=True, help="new or empty; keeps the logs")
    up.add_argument(
        "--with-stdin",
        action="store_true",
        help="end as well, and at once, when standard input can be read or is closed: "
        "give it a pipe from the process to follow, or a pidfd of it",
    )
    return parser


def _up(directory: Path, *, with_stdin: bool) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    with ControlPlane.start(directory, assets=find_or_build()) as plane:
        print(f"export KUBECONFIG={shlex.quote(str(plane.kubeconfig))}", flush=True)
        with suppress(KeyboardInterrupt):  # from here on it is the expected end
            _await_end(plane, with_stdin=with_stdin)


def _await_end(plane: ControlPlane, *, with_stdin: bool) -> None:
    """Return when standard input has ended (if it counts).

    Raises:
        StartError: a component has ended by itself.
    """
    with ExitStack() as opened:
        poll = select.poll()
        names: dict[int, str] = {}
        for name, pid in plane.pids.items():
            pidfd = os.pidfd_open(pid)
            opened.callback(os.close, pidfd)
            names[pidfd] = name
            poll.register(pidfd, select.POLLIN)
        if with_stdin:
            poll.register(STDIN, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll()}
    if STDIN not in ended:
        culprits = ", ".join(names[descriptor] for descriptor in ended)
        raise StartError(f"{culprits} ended by itself: see {plane.directory}/logs")
    plane.stop(grace_s=0)  # whoever wanted it is gone, and nothing of it is worth a wait


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
