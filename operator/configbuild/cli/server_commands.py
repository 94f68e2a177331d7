"""The commands that ask the operator, by its HTTP API: ``logs``, ``build`` and ``cancel``.

``logs`` can do without: from ConfigMaps, by kubectl.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from configbuild.cli.api import Api
from configbuild.cli.common import Output, Shape, write_shaped
from configbuild.cli.documents import InputError
from configbuild.cli.follow import Follower
from configbuild.cli.options import (
    LOCAL_SERVER,
    Authority,
    Events,
    Insecure,
    LogServer,
    Name,
    Namespace,
    Server,
    ShapeOption,
    Target,
    TokenFileOption,
    TokenOption,
    connect,
)
from configbuild.cli.progress import say, write_bytes, write_lines
from configbuild.cli.stored_logs import StoredLogFollower
from configbuild.cli.tables import format_age, table
from configbuild.cli.text import lines_of
from configbuild.cli.waiting import on_terminal, show_live, show_plainly
from configbuild.durations import format_duration
from configbuild.events import decode_line
from configbuild.kubeconfig import current_namespace
from configbuild.model import BuildId, BuildStatus


class Told(StrEnum):
    """What is written of a build that was asked for."""

    TEXT = "text"
    NDJSON = "ndjson"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def logs(
    target: Target,
    *,
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on to the end of the build.")
    ] = False,
    after_id: Annotated[
        int, typer.Option(min=0, metavar="N", help="Only what comes after event N.")
    ] = 0,
    output: Events = Output.TEXT,
    server: LogServer = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """Print what a build did and does.

    Standard output of its commands is marked with |, standard error with !.

    Without --server the copy of the log in ConfigMaps is read, with your own rights; with -f it
    comes every few seconds. With --server the operator sends each line as it is written; when the
    connection breaks, reading goes on after the last event that came.
    """
    if server is None:
        stored = StoredLogFollower(namespace or current_namespace(), notify=say, after_id=after_id)
        _print(stored.follow(target, follow=follow), output)
        raise typer.Exit(_exit_code(stored))
    api = connect(server, namespace, token, token_file, authority, insecure=insecure)
    follower = Follower(api, notify=say, last_id=after_id)
    _print(follower.build(_build_id(api, namespace, target), follow=follow), output)
    raise typer.Exit(_exit_code(follower))


def build(
    name: Name,
    *,
    namespace: Namespace = None,
    force: Annotated[
        bool, typer.Option("--force", help="Build anew; a build that runs is replaced.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end, and show its steps as they go.")
    ] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Wait, and print what it does.")] = False,
    output: Annotated[
        Told,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT",
            help="text; json, yaml or name: the build; ndjson, with --stream: its events.",
        ),
    ] = Told.TEXT,
    server: Server = LOCAL_SERVER,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """Ask for the build that a ConfigBuild declares: it is reused, joined or made."""
    _check(output, stream=stream)
    api = connect(server, namespace, token, token_file, authority, insecure=insecure)
    workspace = namespace or current_namespace()
    path = ("workspaces", workspace, "configs", name, "builds")
    body = {"stream": stream or wait, "options": {"force": force}}
    if not (stream or wait):
        _write_build(api.post(*path, body=body), output)
        return
    follower = Follower(api, notify=say)
    blocks = follower.answer(api.stream(*path, body=body))
    if stream:
        _print(blocks, Output.NDJSON if output is Told.NDJSON else Output.TEXT)
    elif output is not Told.TEXT:
        _exhaust(blocks)
        _write_build(api.get("builds", str(follower.build_id)), output)
    elif on_terminal():
        show_live(follower, blocks, f"{workspace}/{name}")
    else:
        show_plainly(follower, blocks)
    raise typer.Exit(_exit_code(follower))


def cancel(
    target: Target,
    *,
    namespace: Namespace = None,
    output: ShapeOption = Shape.TEXT,
    server: Server = LOCAL_SERVER,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """End a build that waits or runs; one that has ended stays as it is."""
    api = connect(server, namespace, token, token_file, authority, insecure=insecure)
    found = api.post("builds", _build_id(api, namespace, target), "cancel")
    if output is not Shape.TEXT:
        write_shaped(found, output, [found["id"]])
        return
    ended = BuildStatus(found["status"]).ended
    words = f"has ended already ({found['status']})" if ended else "is being ended"
    write_lines(f"{found['id']}: {words}")


def builds_of(api: Api, namespace: str | None, name: str) -> list[dict[str, Any]]:
    """Fetch the builds of a config, newest first."""
    path = ("workspaces", namespace or current_namespace(), "configs", name, "builds")
    builds: list[dict[str, Any]] = api.get(*path)["builds"]
    return builds


def write_builds(builds: list[dict[str, Any]], shape: Shape) -> None:
    """Write them as a table, or for programs."""
    if shape is Shape.TEXT:
        heading = ("BUILD", "STATUS", "TRIGGER", "AGE", "TOOK", "REASON")
        write_lines(*table([heading, *map(_row, builds)], flexible=(len(heading) - 1,)))
    else:
        write_shaped({"builds": builds}, shape, [str(found["id"]) for found in builds])


def _check(output: Told, *, stream: bool) -> None:
    if output is Told.NDJSON and not stream:
        raise InputError("--output ndjson prints a stream: add --stream")
    if stream and output not in (Told.TEXT, Told.NDJSON):
        raise InputError(f"--output {output} prints one build: leave out --stream")


def _build_id(api: Api, namespace: str | None, target: str) -> str:
    if target.startswith("build_"):  # no ConfigBuild's name has an underscore
        try:
            return BuildId.parse(target)
        except ValueError as error:
            raise InputError(str(error)) from None
    builds = builds_of(api, namespace, target)
    if not builds:
        raise InputError(f"{target} has no build yet")
    return str(builds[0]["id"])


def _print(blocks: Iterable[bytes], output: Output) -> None:
    for block in blocks:
        if output is Output.NDJSON:
            write_bytes(block)
        else:
            events = map(decode_line, filter(None, block.split(b"\n")))
            write_lines(*(line for event in events for line in lines_of(event)))


def _exhaust(blocks: Iterator[bytes]) -> None:
    for _ in blocks:
        pass


def _write_build(found: dict[str, Any], output: Told) -> None:
    if output is Told.TEXT:
        write_lines(_sentence(found))
    else:
        write_shaped(found, Shape(output), [str(found["id"])])


def _exit_code(follower: Follower | StoredLogFollower) -> int:
    ended = follower.completed
    return 0 if ended is None or ended.status is BuildStatus.ACTIVE else 1


def _sentence(found: dict[str, Any]) -> str:
    status, summary = BuildStatus(found["status"]), found["summary"]
    if status.ended:
        return f"{found['id']}: {summary or status}"
    position = found.get("queue_position")
    return f"{found['id']}: {status}" + (f", number {position} in the queue" if position else "")


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    started, finished = found["started"], found["finished"]
    took = format_duration(finished - started) if started and finished else ""
    age = format_age(time.time() - found["created"])
    return (found["id"], found["status"], found["trigger"], age, took, found["reason"] or "")
