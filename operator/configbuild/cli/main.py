"""``configbuild``: the operator, a build without a cluster, and the CRD."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from configbuild.errors import ConfigBuildError
from configbuild.settings import Settings

app = typer.Typer(
    name="configbuild",
    help="Turns a declared configuration into a verified Python environment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def operator(
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Serve this namespace only; may be repeated."),
    ] = None,
) -> None:
    """Run the operator; the rest is set by ADE_ environment variables."""
    # Late: a local build or the CRD should not wait for kopf and the API client to be imported.
    from configbuild.app import run_operator  # noqa: PLC0415

    settings = load_settings()
    logging.basicConfig(
        level=settings.log_level,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    asyncio.run(run_operator(settings, namespaces=namespace or []))


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition."""
    from configbuild.resource.crd import render_yaml  # noqa: PLC0415

    sys.stdout.write(render_yaml())


def load_settings(**overrides: Path) -> Settings:
    """Read the settings; ends the process with a message that names a wrong variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = "ADE_" + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"error: {name}: {problem['msg']}\n")
        raise typer.Exit(2) from None


def main() -> None:
    """Run the command line; an error that a person can act on is one line."""
    try:
        app()
    except ConfigBuildError as error:
        sys.stderr.write(f"error: {error.message}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
