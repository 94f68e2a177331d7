"""The examples of the documentation, and how they are run."""

from __future__ import annotations

import asyncio
import os
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from configbuild.model import BuildId
from tests.waits import PATIENCE_S
from tests.web.cutting import Cut, Cutting, cutting_proxy
from tests.web.support import events_of, site
from tests.web.test_streams import AT_THE_GATE

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"

# In the head of the answer, in the middle of a line, and later: what is cut comes again.
CUTS = (
    Cutting(40, Cut.RESET),
    Cutting(1500, Cut.RESET),
    Cutting(1500, Cut.LOOKS_LIKE_AN_END),
    Cutting(2500, Cut.RESET),
)

_REGION = re.compile(
    r"^ *(?:#|//) region: (?P<name>[a-z-]+)\n(?P<text>.*?)^ *(?:#|//) endregion$",
    re.MULTILINE | re.DOTALL,
)


def regions(file: Path) -> dict[str, str]:
    """Give the marked parts of an example, each without its indentation."""
    return {
        found["name"]: textwrap.dedent(found["text"]).strip("\n") + "\n"
        for found in _REGION.finditer(file.read_text())
    }


def example_files() -> Iterator[Path]:
    """Give all examples, in a fixed order."""
    for kind in ("*.sh", "*.py", "*.ts"):
        yield from sorted(EXAMPLES.glob(f"*/{kind}"))


@asynccontextmanager
async def running(*argv: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an example against a server; it has ended when this ends."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={"PATH": os.environ["PATH"], "URL": url, "TOKEN": "any", "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def output_of(*argv: str, url: str) -> str:
    """Run an example to its end; it must end well."""
    async with running(*argv, url=url) as process, asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert errors == b""
    return output.decode()


async def check_builds_example(directory: Path, *argv: str) -> None:
    """Run an example of all requests; it says what came of them."""
    async with site(directory) as here:
        output = await output_of(*argv, url=here.url)
        builds = (await here.http.get("/api/v1/workspaces/team-a/configs/invoices/builds")).json()
        forced, first = builds["builds"]
        assert (forced["trigger"], first["trigger"]) == ("Forced", "Initial")
        for said in (first["id"], "active", forced["id"], AT_THE_GATE):
            assert said in output


async def check_follow_example(directory: Path, *argv: str) -> None:
    """Run an example that follows a live build through cuts: it prints each event once."""
    async with site(directory, heartbeat_s=0.05) as here:
        with closing(here.shut_gate()) as gate:
            build_id = (await here.post()).json()["id"]
            async with (
                cutting_proxy(here.url, CUTS) as (url, asked),
                running(*argv, build_id, url=url) as process,
                asyncio.timeout(PATIENCE_S),
            ):
                printed = await _until(process, AT_THE_GATE)
                assert await here.status(build_id) == "building"
                gate.open()
                rest, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b""), errors.decode()
        assert events_of(printed + rest) == events_of(here.journal(build_id))
        assert len(asked) == len(CUTS) + 1


async def check_follow_example_ends_where_it_is_refused(directory: Path, *argv: str) -> None:
    """Run an example that follows a build of which nobody knows."""
    async with site(directory) as here, running(*argv, BuildId.new(), url=here.url) as process:
        async with asyncio.timeout(PATIENCE_S):
            printed, _ = await process.communicate()
        assert process.returncode not in (0, None)
        assert printed == b""


async def _until(process: asyncio.subprocess.Process, message: str) -> bytes:
    assert process.stdout
    printed = b""
    while line := await process.stdout.readline():
        printed += line
        event: dict[str, Any] = events_of(line)[0]
        if event.get("message") == message:
            return printed
    raise AssertionError(printed)
