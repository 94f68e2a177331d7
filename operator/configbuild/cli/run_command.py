"""The command ``run``: somebody's command in a Job, watched to its end as if it ran here."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import PurePosixPath
from types import FrameType
from typing import Annotated, Any

import typer

from configbuild.cli.common import Shape, ToldError, write_shaped
from configbuild.cli.documents import InputError
from configbuild.cli.job import (
    OPERATOR_LABELS,
    Place,
    PodState,
    choose_place,
    make_job,
    place_of,
    roots_of,
    state_of,
)
from configbuild.cli.objects import (
    cannot_start,
    create,
    get_configbuild,
    kubectl,
    program,
    read_object,
    read_quietly,
)
from configbuild.cli.options import Name, Namespace
from configbuild.cli.progress import say
from configbuild.cli.told import Told
from configbuild.errors import ConfigBuildError

# As `docker run` has it: the command did not run, and this is not its exit code.
COULD_NOT_RUN = 125

_LOOK_EVERY_S = 0.5


def run(
    name: Name,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND", help="What to run, behind two dashes.")
    ],
    *,
    namespace: Namespace = None,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Otherwise that of the operator.")
    ] = None,
    claim: Annotated[
        str | None,
        typer.Option(
            metavar="PVC", help="Holds the venvs; otherwise the operator's, or one that says so."
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=VALUE", help="May be given several times."),
    ] = None,
    start_timeout_s: Annotated[
        int,
        typer.Option("--start-timeout", min=1, metavar="S", help="Seconds for it to begin."),
    ] = 300,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the Job; it is removed after an hour.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the Job, and create nothing.")
    ] = False,
    output: Annotated[
        Shape, typer.Option("--output", "-o", metavar="FORMAT", help="With --dry-run: yaml, json.")
    ] = Shape.YAML,
) -> None:
    """Run a command in the active environment of a ConfigBuild, and end as it does.

    A Job is made: the venv is mounted read-only, the image is the operator's, the pod wears the
    build's id. Its output comes as it is written. Ctrl-C ends it. Everything is done by kubectl,
    with your own rights: to create and delete Jobs, to read pods and their logs, and, unless
    --image and --claim are said, Deployments. A claim that begins elsewhere than the operator's
    says where by its annotation ade.dev/mount-path.

    The exit code is that of the command; 125: it could not be run.
    """
    try:
        told = Told(get_configbuild(name, namespace=namespace))
        job = make_job(
            told, _place(told, image, claim), command, environment=_environment(env or [])
        )
        if dry_run:
            write_shaped(job, output, [job["metadata"]["generateName"]])
            return
        with _job(job, keep=keep) as created, _ended_by_signals():
            code = _watch(created["metadata"], start_timeout_s)
    except ConfigBuildError as error:
        say(f"error: {error.message}")
        raise typer.Exit(COULD_NOT_RUN) from None
    except ToldError:
        raise typer.Exit(COULD_NOT_RUN) from None
    except _Signalled as signalled:
        raise typer.Exit(128 + signalled.number) from None
    raise typer.Exit(code)


class _Signalled(Exception):  # noqa: N818 - no error
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _place(told: Told, image: str | None, claim: str | None) -> Place:
    if not told.active:
        raise InputError(f"{told.title} has no active build, so there is nothing to run")
    venv = PurePosixPath(str(told.active["venvPath"]))
    found = None
    where = ("-n", str(told.metadata["namespace"]))
    if image is None or claim is None:
        answer = read_object("get", "deployments", "-l", OPERATOR_LABELS, *where)
        places = (place_of(deployment, venv) for deployment in answer.get("items") or ())
        found = next(filter(None, places), None)
    claims: list[dict[str, Any]] = []
    if found is None or claim not in (None, found.claim):
        # Who may not look at claims has one that begins where the operator's does.
        claims = read_quietly("get", "persistentvolumeclaims", *where).get("items") or []
    roots = roots_of(claims, venv)
    return choose_place(found, image=image, claim=claim, venv=venv, roots=roots)


def _environment(given: list[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise InputError(f"--env: {name!r} has to be NAME=VALUE")
    return {name: value for name, _, value in pairs}


@contextmanager
def _job(manifest: dict[str, Any], *, keep: bool) -> Iterator[dict[str, Any]]:
    """Create a Job, and remove it with its pod at the end, however that comes."""
    created = create(manifest)
    metadata = created["metadata"]
    try:
        yield created
    finally:
        if keep:
            say(f"job.batch/{metadata['name']} is kept for an hour")
        else:
            with suppress(ToldError):
                where = ("-n", metadata["namespace"])
                kubectl("delete", "job", metadata["name"], *where, "--wait=false", "-o", "name")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have the signals that end a program end what is watched, so that the Job is removed."""

    def end(number: int, _: FrameType | None) -> None:
        raise _Signalled(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(metadata: dict[str, Any], start_timeout_s: int) -> int:
    """Wait for the Job's container, pass on what it writes, and give its exit code."""
    pod = _begun(metadata, start_timeout_s)
    since: datetime | None = None
    while True:
        _follow(pod["metadata"], since)
        since = datetime.now(UTC)
        # Its output ends a moment before its status says how it ended.
        state = _state(metadata)
        if state.code is not None:
            if state.words:
                say(f"the command ended: {state.words}")
            return state.code
        if state.hopeless:
            raise InputError(f"its pod was ended: {state.words}")
        time.sleep(_LOOK_EVERY_S)


def _begun(metadata: dict[str, Any], timeout_s: int) -> dict[str, Any]:
    deadline, told = time.monotonic() + timeout_s, ""
    while True:
        pod = _pod(metadata)
        state = state_of(pod) if pod is not None else PodState(words="it has no pod yet")
        if pod is not None and state.begun:
            return pod
        if state.hopeless or time.monotonic() > deadline:
            raise InputError(f"job.batch/{metadata['name']} does not begin: {state.words}")
        if state.words and state.words != told and pod is not None:
            told = state.words
            say(f"waiting for job.batch/{metadata['name']}: {told}")
        time.sleep(_LOOK_EVERY_S)


def _state(metadata: dict[str, Any]) -> PodState:
    pod = _pod(metadata)
    if pod is None:
        return PodState(hopeless=True, words="somebody removed it")
    return state_of(pod)


def _pod(metadata: dict[str, Any]) -> dict[str, Any] | None:
    where = ("-n", metadata["namespace"])
    found = read_object("get", "pods", "-l", f"job-name={metadata['name']}", *where)
    items: list[dict[str, Any]] = found.get("items") or []
    return items[0] if items else None


def _follow(pod: dict[str, Any], since: datetime | None) -> None:
    """Pass on the output of a pod, byte for byte, until it or the connection ends."""
    later = [f"--since-time={since.isoformat()}"] if since is not None else []
    arguments = ["logs", "--follow", pod["name"], "-n", pod["namespace"], *later]
    sys.stdout.flush()
    try:
        subprocess.run([program(), *arguments], check=False)
    except OSError as error:
        raise cannot_start(error) from None
