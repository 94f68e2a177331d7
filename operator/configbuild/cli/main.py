"""``configbuild``: the operator, a build without a cluster, and the CRD."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _nothing_collected():
        # Late: a local build or the CRD should not wait for kopf and FastAPI to be imported.
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


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the collector from looking for garbage among what is made here, now and later.

    What imports make stays. To look at it again and again takes 0.2 s of a start that takes 1.2.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """Run the command line."""
    run_app(app)


if __name__ == "__main__":
    main()
