"""The commands that ask kubectl for objects, with the user's own rights.

``list``, ``describe``, ``explain``, ``top`` and ``activate``. Of these, ``list NAME`` and the log's
last lines in ``describe`` come from the operator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from configbuild.builds.tokens import TokenKind
from configbuild.cli.api import Api, UnreachableError
from configbuild.cli.common import Shape, write_shaped
from configbuild.cli.describe import LastLines, describe
from configbuild.cli.documents import InputError
from configbuild.cli.explain import explain, explain_json
from configbuild.cli.listing import config_rows, live_bodies, under_way
from configbuild.cli.live import drawn, terminal_console
from configbuild.cli.objects import annotate, get_configbuild, list_configbuilds
from configbuild.cli.options import (
    LOCAL_SERVER,
    AllNamespaces,
    Authority,
    Build,
    Insecure,
    Name,
    Namespace,
    Server,
    ShapeOption,
    TokenFileOption,
    TokenOption,
    connect,
)
from configbuild.cli.progress import write_lines
from configbuild.cli.server_commands import builds_of, write_builds
from configbuild.cli.told import Told
from configbuild.errors import ConfigBuildError
from configbuild.model import BuildId

# A page is no place to wait: without an answer in this time it comes without the log's lines.
_LINES_TIMEOUT_S = 5.0

# Events that are no lines, of the steps: so many more are read than lines are shown.
_STEP_EVENTS = 16

# The operator follows an annotation within a second, unless it is busy or away.
_FOLLOWED_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.3


def list_them(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A ConfigBuild: list its builds.")
    ] = None,
    *,
    namespace: Namespace = None,
    everywhere: AllNamespaces = False,
    output: ShapeOption = Shape.TEXT,
    server: Server = LOCAL_SERVER,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """List ConfigBuilds and how they stand; with a NAME, its builds, newest first.

    ConfigBuilds are read by kubectl, builds from the operator.
    """
    if name is not None:
        if everywhere:
            raise InputError("--all-namespaces lists ConfigBuilds: leave out NAME, or name one -n")
        api = connect(server, namespace, token, token_file, authority, insecure=insecure)
        write_builds(builds_of(api, namespace, name), output)
        return
    found = list_configbuilds(namespace, everywhere=everywhere)
    bodies = found.get("items") or []
    if output is Shape.TEXT:
        write_lines(*config_rows(bodies, everywhere=everywhere, now=datetime.now(UTC)))
    else:
        write_shaped(found, output, map(_name, bodies))


def describe_one(
    name: Name,
    *,
    namespace: Namespace = None,
    lines: Annotated[
        int, typer.Option(min=0, max=200, metavar="N", help="So many of the log's last lines.")
    ] = 10,
    output: ShapeOption = Shape.TEXT,
    server: Server = LOCAL_SERVER,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    authority: Authority = None,
    insecure: Insecure = False,
) -> None:
    """Show a page on a ConfigBuild: state and cause, steps and their times, last lines, history.

    The object is read by kubectl, the lines from the operator; where it cannot be asked, the page
    says so and has all else.
    """
    body = get_configbuild(name, namespace=namespace)
    if output is not Shape.TEXT:
        write_shaped(body, output, [_name(body)])
        return
    last = LastLines()
    if lines and Told(body).build:
        try:
            api = connect(
                *(server, namespace, token, token_file, authority),
                insecure=insecure,
                timeout_s=_LINES_TIMEOUT_S,
            )
            last = LastLines(lines=_last_lines(api, Told(body), lines))
        except ConfigBuildError as error:
            last = LastLines(trouble=error.message)
    _show(describe(body, last, now=datetime.now(UTC)))


def explain_one(
    name: Name, *, namespace: Namespace = None, output: ShapeOption = Shape.TEXT
) -> None:
    """Say how a ConfigBuild stands, why it was built, and what would build it again.

    The object is read by kubectl get, with your own rights; no operator is asked. KUBECTL names
    another program than kubectl.
    """
    body = get_configbuild(name, namespace=namespace)
    now = datetime.now(UTC)
    if output is Shape.TEXT:
        write_lines(*explain(body, now=now))
    else:
        write_shaped(explain_json(body, now=now), output, [_name(body)])


def top(
    *,
    namespace: Namespace = None,
    everywhere: AllNamespaces = False,
    output: ShapeOption = Shape.TEXT,
) -> None:
    """Show which builds run and which wait, and for how long.

    Read by kubectl, with your own rights.
    """
    bodies = list_configbuilds(namespace, everywhere=everywhere).get("items") or []
    if output is Shape.TEXT:
        write_lines(*under_way(bodies, now=datetime.now(UTC)))
        return
    live = live_bodies(bodies)
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": live}
    write_shaped(listed, output, map(_name, live))


def activate(
    name: Name,
    build_id: Build = "",
    *,
    namespace: Namespace = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take the choice back: what is declared counts again.")
    ] = False,
    output: ShapeOption = Shape.TEXT,
) -> None:
    """Make an earlier build the active one, until that is undone or the spec changes.

    Sets the annotation ade.dev/activate by kubectl, and waits until the operator has followed it,
    half a minute at most. A build that is not kept any more is refused, and nothing changes.
    """
    if undo == bool(build_id):
        raise InputError("name a BUILD_ID, or say --undo")
    if undo:
        annotate(name, TokenKind.ACTIVATE.annotation, None, namespace=namespace)
        body = get_configbuild(name, namespace=namespace)
        _tell(body, output, f"{Told(body).title}: what is declared counts again")
        return
    try:
        chosen = BuildId.parse(build_id)
    except ValueError as error:
        raise InputError(str(error)) from None
    _give_up_former(name, namespace, chosen)
    annotate(name, TokenKind.ACTIVATE.annotation, chosen, namespace=namespace)
    body = _when(lambda told: _is_followed(told, chosen), name, namespace)
    words = "is the active build until --undo, or an edit of the spec"
    _tell(body, output, f"{Told(body).title}: {chosen} {words}")


def _give_up_former(name: str, namespace: str | None, chosen: BuildId) -> None:
    """Take away the same choice where an edit of the spec has ended it: a token counts once."""
    told = Told(get_configbuild(name, namespace=namespace))
    annotations = told.metadata.get("annotations") or {}
    if annotations.get(TokenKind.ACTIVATE.annotation) == chosen and not told.active.get("pinned"):
        annotate(name, TokenKind.ACTIVATE.annotation, None, namespace=namespace)
        _when(lambda told: TokenKind.ACTIVATE not in _handled(told), name, namespace)


def _is_followed(told: Told, chosen: BuildId) -> bool:
    complaint = str(told.condition("InvalidAnnotation").get("message", ""))
    if chosen in complaint:
        raise InputError(complaint)
    return told.active.get("buildId") == chosen and told.active.get("pinned") is True


def _handled(told: Told) -> Mapping[str, Any]:
    return told.status.get("handled") or {}


def _when(holds: Callable[[Told], bool], name: str, namespace: str | None) -> dict[str, Any]:
    """Read an object until something holds of it."""
    deadline = time.monotonic() + _FOLLOWED_WITHIN_S
    while True:
        body = get_configbuild(name, namespace=namespace)
        if holds(Told(body)):
            return body
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"{Told(body).title} was annotated, and no operator has followed that in"
                f" {_FOLLOWED_WITHIN_S:.0f} s; is it running?"
            )
        time.sleep(_LOOK_EVERY_S)


def _last_lines(api: Api, told: Told, count: int) -> list[str]:
    """Read the end of the newest build's log; the status may be some events behind."""
    seen = int((told.status.get("log") or {}).get("lines", 0))
    after_id = max(0, seen - count - _STEP_EVENTS)
    answer = api.get("builds", str(told.build.get("id")), "logs", query={"after_id": after_id})
    entries = answer["entries"][-count:]
    return [f"{'!' if it['stream'] == 'stderr' else '|'} {it['message']}" for it in entries]


def _tell(body: Mapping[str, Any], output: Shape, words: str) -> None:
    if output is Shape.TEXT:
        write_lines(words)
    else:
        write_shaped(body, output, [_name(body)])


def _show(lines: list[Text]) -> None:
    console = terminal_console()
    for line in lines:
        plain = drawn(console, line.plain)
        console.print(Text(plain, spans=line.spans, style=line.style), soft_wrap=True)


def _name(body: Mapping[str, Any]) -> str:
    return f"configbuild.ade.dev/{body['metadata']['name']}"
