"""``kubectl configbuild``: builds in the cluster, by the operator's HTTP API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from configbuild.cli.api import Api
from configbuild.cli.common import Output, Shape, run_app
from configbuild.cli.credentials import (
    Credentials,
    GivenToken,
    KubeconfigToken,
    Token,
    TokenFile,
    Trust,
)
from configbuild.cli.documents import InputError
from configbuild.cli.explain import explain, explain_json
from configbuild.cli.follow import Follower
from configbuild.cli.kubeconfig import current_namespace
from configbuild.cli.objects import KubectlError, get_configbuild
from configbuild.cli.progress import say, write_bytes, write_lines
from configbuild.cli.text import failure, lines_of, printable
from configbuild.durations import format_duration
from configbuild.events import decode_line
from configbuild.model import BuildId, BuildStatus

_COMMAND = "kubectl configbuild"

app = typer.Typer(
    name=_COMMAND,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="CONFIGBUILD_SERVER",
        metavar="URL",
        help="The operator's HTTP API.",
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="CONFIGBUILD_TOKEN",
        metavar="TOKEN",
        help="Shown to the operator; otherwise that of the kubeconfig's user.",
    ),
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the token.")
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--certificate-authority",
        envvar="CONFIGBUILD_CERTIFICATE_AUTHORITY",
        metavar="FILE",
        help="Who signs for the operator (PEM); otherwise whom its ConfigMap configbuild-ca names.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure-skip-tls-verify", help="Show the token to whoever answers."),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", metavar="NS", help="Otherwise that of the current kubectl context."
    ),
]
Target = Annotated[
    str, typer.Argument(metavar="NAME|BUILD_ID", help="A ConfigBuild's newest build, or a build.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A ConfigBuild.")]
Format = Annotated[
    Output,
    typer.Option("--output", "-o", metavar="FORMAT", help="text, or ndjson: events as they are."),
]

_LOCAL = "https://127.0.0.1:8443"


@app.callback()
def about() -> None:
    """Ask for builds of ConfigBuilds, watch them, and end them.

    The operator is reached through its HTTP API, for instance by

    \b
      kubectl port-forward service/configbuild-operator 8443

    It is shown the token that kubectl has, if the kubeconfig's user has one; with a client
    certificate, say --token "$(kubectl create token NAME)".

    \b
    Exit codes:
      0  well; where the end of a build is waited for or seen: it is active
      1  that build failed or was canceled
      2  the operator refused, or an option is wrong
      3  the operator cannot be reached, or cannot answer now

    explain alone asks kubectl instead, and ends with its exit code.

    Whatever ends these commands, Ctrl-C or a closed pipe: builds go on.
    """  # noqa: D301 - click's mark for lines that are to stay as they are


@app.command()
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
    output: Format = Output.TEXT,
    server: Server = _LOCAL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """Print what a build did and does.

    Standard output of its commands is marked with |, standard error with !. When the connection
    breaks, reading goes on after the last event that came.
    """
    api = _api(server, namespace, token, token_file, authority, insecure=insecure)
    follower = Follower(api, notify=say, last_id=after_id)
    _print(follower.build(_build_id(api, namespace, target), follow=follow), output)
    raise typer.Exit(_exit_code(follower))


@app.command()
def build(
    name: Name,
    *,
    namespace: Namespace = None,
    force: Annotated[
        bool, typer.Option("--force", help="Build anew; a build that runs is replaced.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Wait, and print what it does.")] = False,
    output: Format = Output.TEXT,
    server: Server = _LOCAL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """Ask for the build that a ConfigBuild declares: it is reused, joined or made."""
    if output is Output.NDJSON and not stream:
        raise InputError("--output ndjson prints a stream: add --stream")
    api = _api(server, namespace, token, token_file, authority, insecure=insecure)
    path = ("workspaces", namespace or current_namespace(), "configs", name, "builds")
    body = {"stream": stream or wait, "options": {"force": force}}
    if not (stream or wait):
        write_lines(_sentence(api.post(*path, body=body)))
        return
    follower = Follower(api, notify=say)
    blocks = follower.answer(api.stream(*path, body=body))
    if stream:
        _print(blocks, output)
    else:
        for _ in blocks:
            pass
        assert follower.completed is not None
        write_lines(f"{follower.build_id}: {follower.completed.summary}")
        write_lines(*failure(follower.completed))
    raise typer.Exit(_exit_code(follower))


@app.command()
def cancel(
    target: Target,
    *,
    namespace: Namespace = None,
    server: Server = _LOCAL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """End a build that waits or runs; one that has ended stays as it is."""
    api = _api(server, namespace, token, token_file, authority, insecure=insecure)
    found = api.post("builds", _build_id(api, namespace, target), "cancel")
    ended = BuildStatus(found["status"]).ended
    words = f"has ended already ({found['status']})" if ended else "is being ended"
    write_lines(f"{found['id']}: {words}")


@app.command(name="list")
def list_builds(
    name: Name,
    *,
    namespace: Namespace = None,
    server: Server = _LOCAL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """List the builds of a ConfigBuild, newest first."""
    api = _api(server, namespace, token, token_file, authority, insecure=insecure)
    rows: list[tuple[str, ...]] = [("BUILD", "STATUS", "TRIGGER", "AGE", "TOOK", "REASON")]
    rows += [_row(found) for found in _builds(api, namespace, name)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        write_lines(printable("  ".join(cells).rstrip()))


@app.command(name="explain")
def explain_one(
    name: Name,
    *,
    namespace: Namespace = None,
    output: Annotated[
        Shape, typer.Option("--output", "-o", metavar="FORMAT", help="text, or json.")
    ] = Shape.TEXT,
) -> None:
    """Say how a ConfigBuild stands, why it was built, and what would build it again.

    The object is read by kubectl get, with your own rights; no operator is asked. KUBECTL names
    another program than kubectl.
    """
    try:
        body = get_configbuild(name, namespace=namespace)
    except KubectlError as error:
        raise typer.Exit(error.exit_code) from None
    now = datetime.now(UTC)
    if output is Shape.JSON:
        write_lines(json.dumps(explain_json(body, now=now), indent=2))
    else:
        write_lines(*explain(body, now=now))


def _api(
    server: str,
    namespace: str | None,
    token: str | None,
    token_file: Path | None,
    authority: Path | None,
    *,
    insecure: bool,
) -> Api:
    source: Token = KubeconfigToken()
    if token_file:
        source = TokenFile(path=token_file)
    elif token:
        source = GivenToken(value=token)
    trust = Trust(file=authority, insecure=insecure, namespaces=(namespace or current_namespace(),))
    return Api(server=server, credentials=Credentials(source), trust=trust)


def _builds(api: Api, namespace: str | None, name: str) -> list[dict[str, Any]]:
    path = ("workspaces", namespace or current_namespace(), "configs", name, "builds")
    builds: list[dict[str, Any]] = api.get(*path)["builds"]
    return builds


def _build_id(api: Api, namespace: str | None, target: str) -> str:
    if target.startswith("build_"):  # no ConfigBuild's name has an underscore
        try:
            return BuildId.parse(target)
        except ValueError as error:
            raise InputError(str(error)) from None
    builds = _builds(api, namespace, target)
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


def _exit_code(follower: Follower) -> int:
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
    age = format_duration(max(1, time.time() - found["created"]))
    return (found["id"], found["status"], found["trigger"], age, took, found["reason"] or "")


def main() -> None:
    """Run the command line."""
    run_app(app, name=_COMMAND)


if __name__ == "__main__":
    main()
