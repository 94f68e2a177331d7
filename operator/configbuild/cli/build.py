"""The command ``configbuild build``: its options, and what they stand for."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from configbuild.cli.common import Output
from configbuild.cli.documents import InputError
from configbuild.cli.environment import load_settings
from configbuild.cli.local import LocalBuild
from configbuild.cli.manifests import read_manifests
from configbuild.cli.progress import Display, NdjsonDisplay, PlainDisplay, say, write_lines
from configbuild.cli.workdir import Workdir, default_workdir

_STDIN = "-"


def build(
    file: Annotated[
        str,
        typer.Option("--file", "-f", metavar="FILE", help="A YAML file; - is standard input."),
    ],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which ConfigBuild of FILE: its name, or NS/NAME."),
    ] = None,
    workdir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where venvs, journals and caches go; otherwise configbuild/local in"
            " $XDG_CACHE_HOME or ~/.cache.",
        ),
    ] = None,
    sources: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where paths in the spec begin; otherwise FILE's own folder."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Build even where nothing changed.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Build nothing; say what would be built, and why."),
    ] = False,
    output: Annotated[
        Output,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT",
            help="text, or ndjson: the build's events and nothing else, one a line.",
        ),
    ] = Output.TEXT,
) -> None:
    """Build one ConfigBuild here, without a cluster.

    Steps, events and the venv are the operator's. ConfigMaps that the ConfigBuild names are taken
    from the same FILE. Environment variables ADE_… set what the operator's would.

    A verified venv of the same inputs that stands in the working directory is reused. While
    another command builds the same config there, this one waits.

    \b
    Exit codes:
      0    the venv was built and verified, or reused; or it was only explained
      1    the build failed, or took too long
      2    the file or an option is wrong; nothing was built
      130  canceled by Ctrl-C (143: SIGTERM, 129: SIGHUP); a second one ends at once
      141  canceled because nobody reads the output any more, as in: | head
    """  # noqa: D301 - click's mark for lines that are to stay as they are
    if explain and output is not Output.TEXT:
        raise InputError("--output ndjson is a build's events, and --explain builds nothing")
    manifests = read_manifests(_content(file), "standard input" if file == _STDIN else file)
    declared = manifests.choose(name)
    root = (workdir or _default_workdir()).absolute()
    place = Workdir(root, declared.key, sources=_sources(file, sources))
    job = LocalBuild(
        manifests=manifests,
        declared=declared,
        workdir=place,
        settings=load_settings(
            venvs_dir=root / "venvs", logs_dir=root / "logs", cache_dir=root / "cache"
        ),
        display=_display(output),
        force=force,
    )

    if explain:
        # Without the lock: it may be taken for minutes, and nothing is written here.
        write_lines(*asyncio.run(job.explain()))
        return

    def busy() -> None:
        say(f"waiting for another command that builds {declared.key} in {root}")

    try:
        lock = place.lock(busy=busy)
        with lock:
            code = asyncio.run(job.run())
    except OSError as error:
        raise InputError(f"--workdir: {error.filename or root}: {error.strerror}") from error
    raise typer.Exit(code)


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"--file: {file}: {error.strerror}") from None


def _sources(file: str, named: Path | None) -> Path:
    if named is None:
        return Path.cwd() if file == _STDIN else Path(file).absolute().parent
    if not named.is_dir():
        raise InputError(f"--sources: {named}: there is no such folder")
    return named


def _default_workdir() -> Path:
    try:
        return default_workdir()
    except RuntimeError:
        raise InputError("there is no home directory to work in; name a --workdir") from None


def _display(output: Output) -> Display:
    if output is Output.NDJSON:
        return NdjsonDisplay()
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        # Late: it is of no use to the operator, whose command is beside this one.
        from configbuild.cli.live import LiveDisplay  # noqa: PLC0415

        return LiveDisplay()
    return PlainDisplay()
