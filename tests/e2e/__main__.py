"""Run everything: ``python -m tests.e2e [--keep]``.

Outside of the enclosure programs, images and wheels are made, which wants a network. Then the
program runs itself inside (``--inside``), where nothing of the world is reached.
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
from tests.e2e.errors import E2eError
from tests.e2e.images import Images, Workshop
from tests.e2e.node import Node, running_node
from tests.e2e.parts import find_parts, missing_packages
from tests.e2e.user import User

_FAILURES = (E2eError, ControlPlaneError, TimeoutError, subprocess.SubprocessError, OSError)

IMAGE_TARGET_MB = 200
_MB = 1_000_000


def main() -> int:
    """Prepare, or play inside; returns 0 if everything was as it should be."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    inside = parser.parse_args().inside
    try:
        return _outside() if inside is None else _inside(inside)
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
        raise E2eError("make e2e wants Linux: a node is namespaces and cgroups of its kernel")
    if os.geteuid() != 0:
        raise E2eError("make e2e wants root: it makes namespaces, mounts and cgroups. Try sudo")
    if packages := missing_packages():
        raise E2eError(f"programs are missing. On Debian: apt-get install {' '.join(packages)}")


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
