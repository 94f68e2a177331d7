"""``configbuild``: the operator, a build without a cluster, and the CRD."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from configbuild.cli.build import build
from configbuild.cli.common import run_app
from configbuild.cli.environment import load_settings
from configbuild.operatorlog import set_up

app = typer.Typer(
    name="configbuild",
    help="Turns a declared configuration into a verified Python environment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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
    set_up(settings.log_level, settings.log_format)
    asyncio.run(run_operator(settings, namespaces=namespace or []))


app.command()(build)


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition."""
    from configbuild.resource.crd import render_yaml  # noqa: PLC0415

    sys.stdout.write(render_yaml())


def main() -> None:
    """Run the command line."""
    run_app(app)


if __name__ == "__main__":
    main()
