"""Run everything: ``python -m tests.e2e``.

Outside of the enclosure programs, images and wheels are made, which wants a network. Then the
program runs itself inside (``--inside``), where nothing of the world is reached.

CI asks first which Debian packages are missing (``--packages``), and whether this machine can have
a node at all (``--check``: 3 if it does not let us, with what exactly).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.controlplane import ControlPlaneError
from tests.cluster.controlplane.progress import to_stderr
from tests.e2e import enclosure, scenes
from tests.e2e.errors import E2eError, MachineError
from tests.e2e.images import Images, Workshop
from tests.e2e.machine import missing_rights
from tests.e2e.node import Node, running_node
from tests.e2e.parts import find_parts, missing_packages
from tests.e2e.user import User

_FAILURES = (E2eError, ControlPlaneError, TimeoutError, subprocess.SubprocessError, OSError)

# The exit code for what is the machine's limit and not ours.
NOT_ALLOWED = 3

IMAGE_TARGET_MB = 200
_MB = 1_000_000


def main() -> int:
    """Prepare, or play inside; returns 0 if everything was as it should be."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    ways.add_argument("--packages", action="store_true", help="name Debian packages to install")
    ways.add_argument("--check", action="store_true", help="only look whether a node can run here")
    options = parser.parse_args()
    try:
        if options.packages:
            print(*missing_packages())
            return 0
        if options.check:
            _check_machine()
            return 0
        return _outside() if options.inside is None else _inside(options.inside)
    except MachineError as error:
        print(f"make e2e: {error}", file=sys.stderr)
        return NOT_ALLOWED
    except _FAILURES as error:
        print(f"\nmake e2e failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEnded by Ctrl-C; nothing is left running.", file=sys.stderr)
        return 130


def _outside() -> int:
    _check_machine()
    _heed_signals()
    directory = Path(tempfile.mkdtemp(prefix="configbuild-e2e-"))
    try:
        began = time.monotonic()
        parts = find_parts(report=to_stderr)
        scenes.fetch_wheels(directory / "wheelhouse")
        made = Workshop(directory / "images", to_stderr).make(parts)
        _tell_sizes(made, time.monotonic() - began)
        return enclosure.run_inside(["tests.e2e", "--inside", str(directory)])
    finally:
        enclosure.clear(directory)


def _check_machine() -> None:
    if sys.platform != "linux":
        raise MachineError("a node wants Linux: it is namespaces and cgroups of its kernel")
    if os.geteuid() != 0:
        raise MachineError("a node wants root: it makes namespaces, mounts and cgroups. Try sudo")
    if packages := missing_packages():
        raise E2eError(f"programs are missing. On Debian: apt-get install {' '.join(packages)}")
    if missing := missing_rights():
        lines = "".join(f"\n  {right}" for right in missing)
        raise MachineError(f"this machine does not let root do what a node does:{lines}")


def _tell_sizes(made: Images, seconds: float) -> None:
    added = (made.operator_bytes - made.base_bytes) / _MB
    word = "met" if added <= IMAGE_TARGET_MB else "MISSED"
    print(f"{seconds:6.1f} s  programs, wheels and images are there", flush=True)
    print(
        f"        the image adds {added:.0f} MB to its base"
        f" (target {IMAGE_TARGET_MB} MB, {word}; uncompressed)",
        flush=True,
    )


def _inside(directory: Path) -> int:
    _heed_signals()
    enclosure.prepare()
    parts = find_parts(report=to_stderr)
    archives = sorted((directory / "images").glob("localhost_*.tar"))
    place = directory / "node"
    place.mkdir()
    began = time.monotonic()
    with running_node(parts, place, archives) as node:
        print(f"{time.monotonic() - began:6.1f} s  the node is Ready, with its images", flush=True)
        stage = scenes.Stage(user=User(node), directory=directory)
        try:
            _play(stage)
        except _FAILURES:
            _tell_logs(stage.user, node)
            raise
    _sum_up(stage, time.monotonic() - began)
    return 0


def _play(stage: scenes.Stage) -> None:
    for what, scene in scenes.SCENES:
        began = time.monotonic()
        try:
            scene(stage)
        except _FAILURES as error:
            raise E2eError(f"{what}: {error}") from error
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def _tell_logs(user: User, node: Node) -> None:
    for name, text in node.logs().items():
        print(f"\n== end of {name}'s log\n{text}", file=sys.stderr)
    for what in (("get", "pods,events,configbuilds", "-A", "-o", "wide"),):
        print(node.cluster.kubectl(*what, check=False).stdout, file=sys.stderr)
    print(f"\n== end of the operator's log\n{user.operator_log()}", file=sys.stderr, flush=True)


def _sum_up(stage: scenes.Stage, seconds: float) -> None:
    print(f"\nEverything was as it should be: {len(scenes.SCENES)} scenes in {seconds:.0f} s.")
    for fact in stage.facts:
        print(f"  {fact}")


def _heed_signals() -> None:
    # SIGINT too: who is started in the background inherits that it is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
