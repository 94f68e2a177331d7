"""The page on all commands, from the commands themselves: ``docs/cli.md``."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, get_type_hints

import typer

from configbuild.cli import kubectl, main

WIDTH = 100

_HEAD = """\
# Commands

All commands, their options and exit codes. Generated from them; `--help` behind each says the same.

`kubectl configbuild` is the plugin `kubectl-configbuild`. It comes with the package, or
[by krew](../deploy/krew/README.md). `configbuild` is the operator, and builds without a cluster.
"""


def cli_reference() -> str:
    """Write the page."""
    parts = [_HEAD]
    for app, name in ((kubectl.app, "kubectl configbuild"), (main.app, "configbuild")):
        group: Any = typer.main.get_command(app)
        parts.append(f"## {name}\n")
        parts.extend(_prose(group.help or ""))
        for command_name, command in group.commands.items():
            parts.append(f"### {name} {command_name}\n")
            parts.extend(_command(f"{name} {command_name}", command))
    return "\n".join(parts)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [it for it in command.params if it.param_type_name == "argument"]
    options = [it for it in command.params if it.param_type_name == "option"]
    words = [name, *(["[OPTIONS]"] if options else []), *(it.metavar for it in arguments)]
    yield f"```\n{' '.join(words)}\n```\n"
    yield from _prose(command.help or "")
    callback = inspect.unwrap(command.callback)
    kinds, defaults = get_type_hints(callback), inspect.signature(callback).parameters
    rows = [
        _row(it, kinds.get(it.name), getattr(defaults.get(it.name), "default", None))
        for it in (*arguments, *options)
        if it.name != "help"
    ]
    if rows:
        yield "\n".join(rows) + "\n"


def _row(param: Any, kind: object, default: object) -> str:
    if param.param_type_name == "argument":
        spelled = f"`{param.metavar}`"
    else:
        metavar = f" {param.metavar}" if param.metavar else ""
        spelled = f"`{', '.join(param.opts)}{metavar}`"
    said = param.help or ""
    notes = []
    if isinstance(kind, type) and issubclass(kind, StrEnum) and not _names_all(said, kind):
        notes.append(f"one of {', '.join(kind)}")
    if getattr(param, "envvar", None):
        notes.append(f"environment: `{param.envvar}`")
    if default not in (None, False, "", inspect.Parameter.empty):
        notes.append(f"default: `{default}`")
    text = f"- {spelled}: {said}" + (f" ({'; '.join(notes)})" if notes else "")
    return textwrap.fill(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _names_all(text: str, kind: type[StrEnum]) -> bool:
    return all(re.search(rf"\b{member}\b", text) for member in kind)


def _prose(text: str) -> Iterator[str]:
    r"""Write a docstring: paragraphs, and where click's ``\b`` stands, lines as they are."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0].strip() == "\b":
            yield f"```\n{textwrap.dedent(chr(10).join(lines[1:]))}\n```\n"
        else:
            words = " ".join(lines)
            yield textwrap.fill(words, WIDTH, break_on_hyphens=False, break_long_words=False) + "\n"
