"""What all commands share: shapes of output, and how an error that a person can act on is told."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import typer
import yaml

from configbuild.cli.progress import ReaderGoneError, leave_quietly, say, write_lines
from configbuild.errors import ConfigBuildError


class Output(StrEnum):
    """What is written to standard output."""

    TEXT = "text"
    NDJSON = "ndjson"


class Shape(StrEnum):
    """What an answer is written as."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class ToldError(Exception):
    """Somebody else has told on standard error what is wrong; ``exit_code`` is that to end with."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"ended with {exit_code}")
        self.exit_code = exit_code


def write_shaped(content: Mapping[str, Any], shape: Shape, names: Iterable[str]) -> None:
    """Write an answer for programs: whole, or its names alone, one a line."""
    match shape:
        case Shape.NAME:
            write_lines(*names)
        case Shape.YAML:
            # As it is, without references within, and in the order in which it came.
            text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
            write_lines(text.rstrip("\n"))
        case Shape.JSON | Shape.TEXT:
            write_lines(json.dumps(content, indent=2))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def run_app(app: typer.Typer, *, name: str | None = None) -> None:
    """Run a command line; an error that a person can act on is told without a traceback.

    The process ends with the error's ``exit_code``, or with 1 if it has none.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path or a character that the terminal's encoding has not: shown, not fatal.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name=name)
    except ConfigBuildError as error:
        say(f"error: {error.message}")
        sys.exit(getattr(error, "exit_code", 1))
    except ToldError as error:
        sys.exit(error.exit_code)
    except ReaderGoneError:
        leave_quietly()
        sys.exit(128 + signal.SIGPIPE)
