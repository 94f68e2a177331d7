"""Make the images of the node without a registry: a base, the operator's own from it, pause."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.controlplane.assets import cache_root
from tests.cluster.controlplane.filelock import locked
from tests.cluster.controlplane.progress import Report, heartbeat
from tests.cluster.operation import ROOT
from tests.e2e.configuration import PAUSE_IMAGE
from tests.e2e.errors import E2eError
from tests.e2e.parts import PAUSE, Parts

NAME = "localhost/configbuild-operator"
# Two builds of the same Dockerfile that say different versions of themselves: an upgrade.
TAGS = ("first", "second")

# What the Dockerfile calls its base. Where a registry is reached, E2E_PULL_BASE=1 takes the real
# one. Otherwise a root file system of the same Debian, with its python3, goes by that name.
BASE = "docker.io/library/python:3.13-slim"
PULL_VARIABLE = "E2E_PULL_BASE"
_SUITE = "trixie"
_INCLUDED = "python3,python3-venv,ca-certificates"

_LAST_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Archives that containerd imports, and how large they are."""

    operators: tuple[Path, ...]
    pause: Path
    base_bytes: int
    operator_bytes: int


class Workshop:
    """buildah with a store of its own, which goes with the directory."""

    def __init__(self, directory: Path, report: Report) -> None:
        self._directory = directory
        self._report = report
        self._log = directory / "images.log"
        directory.mkdir(parents=True)
        storage = directory / "storage.conf"
        storage.write_text(
            "[storage]\n"
            'driver = "overlay"\n'
            f'graphroot = "{directory / "store"}"\n'
            f'runroot = "{directory / "run"}"\n'
        )
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(storage),
            "STORAGE_DRIVER": "overlay",
            # No namespaces of its own for RUN: they are not to be had inside of a container.
            "BUILDAH_ISOLATION": "chroot",
        }

    def make(self, parts: Parts) -> Images:
        """Make all images.

        Raises:
            E2eError: a command failed; with the end of its output.
        """
        self._base()
        operators = tuple(self._operator(tag) for tag in TAGS)
        pause = self._pause(parts)
        base = self._archive(BASE)
        return Images(
            operators=operators,
            pause=pause,
            base_bytes=_layers_bytes(base),
            operator_bytes=_layers_bytes(operators[0]),
        )

    def _base(self) -> None:
        if os.environ.get(PULL_VARIABLE):
            self._run("buildah", "pull", "--quiet", BASE)
            return
        root = base_archive(os.environ, report=self._report)
        self._from_scratch(BASE, root, "/")

    def _operator(self, tag: str) -> Path:
        """Run what `make image` runs."""
        image = f"{NAME}:{tag}"
        pull = () if os.environ.get(PULL_VARIABLE) else ("--pull-never",)
        # Where an index is reached through a proxy, its authority is among the machine's.
        trust = ("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")
        more = {"IMAGE": image, "CONTAINER_TOOL": "buildah"}
        with heartbeat(f"building {image} (log: {self._log})", self._report):
            script = str(ROOT / "deploy" / "image" / "build.sh")
            version = ("--build-arg", f"VERSION=e2e-{tag}")
            self._run(script, *pull, *trust, *version, more=more)
            return self._archive(image)

    def _pause(self, parts: Parts) -> Path:
        program = parts.program(PAUSE)
        self._from_scratch(PAUSE_IMAGE, program, "/pause", "--entrypoint", '["/pause"]')
        return self._archive(PAUSE_IMAGE)

    def _from_scratch(self, image: str, content: Path, place: str, *options: str) -> None:
        container = self._run("buildah", "from", "scratch").strip()
        self._run("buildah", "add", "--quiet", container, str(content), place)
        if options:
            self._run("buildah", "config", *options, container)
        self._run("buildah", "commit", "--quiet", container, image)
        self._run("buildah", "rm", container)

    def _archive(self, image: str) -> Path:
        path = self._directory / (image.replace("/", "_").replace(":", "_") + ".tar")
        self._run("buildah", "push", "--quiet", image, f"docker-archive:{path}:{image}")
        return path

    def _run(self, *argv: str, more: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            argv,
            env={**self._environment, **(more or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        with self._log.open("a") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).splitlines()[-_LAST_LINES:]
            words = "\n".join(lines)
            raise E2eError(f"{' '.join(argv)} exited with {done.returncode}:\n{words}")
        return done.stdout


def base_archive(environ: Mapping[str, str], *, report: Report) -> Path:
    """Return a root file system with the base's Python, made by debootstrap once per user."""
    archive = cache_root(environ) / f"base-{_SUITE}.tar"
    with locked(archive.with_suffix(".lock"), report=report):
        if not archive.exists():
            with heartbeat(f"making {archive}: some 2 minutes, the first time only", report):
                _bootstrap(archive)
    return archive


def _bootstrap(archive: Path) -> None:
    root, partial = archive.with_suffix(".root"), archive.with_suffix(".partial")
    shutil.rmtree(root, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={_INCLUDED}", _SUITE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
        raise E2eError(f"{' '.join(command)} exited with {done.returncode}:\n{lines}")
    left_out = ("./var/cache/apt", "./var/lib/apt/lists")
    excludes = [f"--exclude={path}/*" for path in left_out]
    subprocess.run(["tar", "-C", root, *excludes, "-cf", partial, "."], check=True)
    partial.replace(archive)
    shutil.rmtree(root)


def _layers_bytes(archive: Path) -> int:
    """Tell the size of an image as a node stores it, before its own compression."""
    with tarfile.open(archive) as parts:
        return sum(part.size for part in parts if part.isfile() and part.name.endswith(".tar"))
