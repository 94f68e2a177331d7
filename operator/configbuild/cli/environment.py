"""The operator's settings, from the environment; commands that only ask do without them."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configbuild.cli.documents import InputError
from configbuild.settings import Settings


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
