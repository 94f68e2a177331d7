"""What all commands share: settings, and how an error that a person can act on is told."""

from __future__ import annotations

import io
import signal
import sys
from enum import StrEnum
from pathlib import Path

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configbuild.cli.documents import InputError
from configbuild.cli.progress import ReaderGoneError, leave_quietly, say
from configbuild.errors import ConfigBuildError
from configbuild.settings import Settings


class Output(StrEnum):
    """What is written to standard output."""

    TEXT = "text"
    NDJSON = "ndjson"


class Shape(StrEnum):
    """What an answer is written as."""

    TEXT = "text"
    JSON = "json"


def load_settings(**overrides: Path) -> Settings:
    """Read the settings; :class:`InputError` names every variable that is wrong."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = [_problem(found) for found in error.errors(include_url=False)]
        raise InputError("\n  ".join(problems)) from None


def _problem(found: ErrorDetails) -> str:
    message = found["msg"].removeprefix("Value error, ")
    if not found["loc"]:  # of several settings together; the message names them
        return message
    return f"ADE_{'_'.join(str(part) for part in found['loc']).upper()}: {message}"


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
    except ReaderGoneError:
        leave_quietly()
        sys.exit(128 + signal.SIGPIPE)
