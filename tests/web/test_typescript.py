"""The TypeScript client: its types hold, and it does what docs/events.md asks of a client.

It is checked and compiled by the TypeScript compiler, and run by Node.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from configbuild.model import BuildId
from tests.process.support import in_loop
from tests.web.examples import (
    EXAMPLES,
    check_builds_example,
    check_follow_example,
    check_follow_example_ends_where_it_is_refused,
    output_of,
    running,
)
from tests.web.support import site
from tests.web.test_streams import AT_THE_GATE, readers, until

TOOLS = ("node", "tsc")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

# In CI a missing tool is a failure: .ci/run installs them.
pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true",
    reason=f"there is no {' and no '.join(MISSING)} (Debian: apt install nodejs node-typescript)",
)

# What examples do not show; compiled together with the client.
PROGRAMS = {
    "abort.ts": """
        import { Client } from "./client.js";
        declare const process: { env: Record<string, string>; argv: string[] };
        const stop = new AbortController();
        const client = new Client({ url: process.env.URL! });
        try {
          for await (const event of client.follow(process.argv[2]!, { signal: stop.signal })) {
            if (event.type === "build.log" && event.message === process.argv[3]) {
              setTimeout(() => stop.abort(new Error("had enough")));
            }
          }
        } catch (error) {
          console.log((error as Error).message);
        }
    """,
    "leave.ts": """
        import { Client } from "./client.js";
        declare const process: { env: Record<string, string>; argv: string[] };
        const client = new Client({ url: process.env.URL! });
        for await (const event of client.follow(process.argv[2]!)) {
          if (event.type === "build.log" && event.message === process.argv[3]) break;
        }
        console.log("left");
    """,
    "problem.ts": """
        import { Client, ProblemError } from "./client.js";
        declare const process: { env: Record<string, string>; argv: string[] };
        const client = new Client({ url: process.env.URL!, token: async () => "fresh" });
        const calls = [
          () => client.get(process.argv[2]!),
          () => client.ask("team-a", "nothing"),
        ];
        for (const call of calls) {
          try {
            await call();
          } catch (error) {
            if (error instanceof ProblemError) console.log(error.message);
          }
        }
    """,
    "later.ts": """
        import { Client } from "./client.js";
        declare const process: { env: Record<string, string>; argv: string[] };
        const client = new Client({ url: process.env.URL! });
        const afterId = Number(process.argv[3]);
        for await (const event of client.follow(process.argv[2]!, { afterId })) {
          console.log(JSON.stringify(event));
        }
    """,
}

# The types are of use: each of these is refused by the compiler for the reason given.
WRONG = {
    'client.ask("a", "b", { forse: true });': "forse",
    "const build: Build = {};": "Type '{}'",
    'if (event.type === "build.over") {}': "no overlap",
    'if (event.type === "build.step") event.message.stream;': "stream",
    "page.next_after_id + 1;": "null",
}


def compiler(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert not MISSING, f"there is no {MISSING}: .ci/run has to install it"
    return subprocess.run(
        ["tsc", "-p", directory, *arguments], capture_output=True, encoding="utf-8", check=False
    )


def sources(directory: Path) -> Path:
    shutil.copytree(EXAMPLES / "typescript", directory, ignore=shutil.ignore_patterns("dist", "n*"))
    return directory


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile examples and programs once; gives where the JavaScript is."""
    directory = sources(tmp_path_factory.mktemp("typescript") / "src")
    for name, program in PROGRAMS.items():
        (directory / name).write_text(program)
    done = compiler(directory)
    assert done.returncode == 0, done.stdout
    (directory / "dist" / "package.json").write_text('{"type": "module"}')
    return directory / "dist"


def test_compiler_refuses_what_the_api_has_not(tmp_path: Path) -> None:
    directory = sources(tmp_path / "src")
    head = """
        import type { Client } from "./client.js";
        import type { Build, BuildEvent, BuildLogs } from "./types.js";
        declare const client: Client, event: BuildEvent, page: BuildLogs;
    """
    for number, line in enumerate(WRONG):
        (directory / f"wrong{number}.ts").write_text(f"{head}\n{line}\nexport {{}};\n")
    done = compiler(directory, "--noEmit", "--noUnusedLocals", "false")
    for number, reason in enumerate(WRONG.values()):
        (refused,) = (row for row in done.stdout.splitlines() if f"wrong{number}.ts(" in row)
        assert reason in refused
    assert done.stdout.count("error TS") == len(WRONG), done.stdout


@in_loop
async def test_example_asks_for_builds(tmp_path: Path, compiled: Path) -> None:
    await check_builds_example(tmp_path, "node", str(compiled / "builds.js"))


@in_loop
async def test_client_follows_through_cuts(tmp_path: Path, compiled: Path) -> None:
    await check_follow_example(tmp_path, "node", str(compiled / "follow.js"))


@in_loop
async def test_client_ends_where_it_is_refused(tmp_path: Path, compiled: Path) -> None:
    await check_follow_example_ends_where_it_is_refused(
        tmp_path, "node", str(compiled / "follow.js")
    )


@in_loop
async def test_client_begins_where_it_is_told(tmp_path: Path, compiled: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        printed = await output_of("node", str(compiled / "later.js"), build_id, "5", url=here.url)
        whole = here.journal(build_id).splitlines()
        assert [json.loads(line) for line in printed.splitlines()] == [
            json.loads(line) for line in whole[5:]
        ]


@pytest.mark.parametrize(
    ("program", "says"), [("abort.js", "had enough\n"), ("leave.js", "left\n")], ids=lambda x: x[:5]
)
@in_loop
async def test_client_that_has_enough_lets_go_of_the_connection(
    tmp_path: Path, compiled: Path, program: str, says: str
) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = (await here.post()).json()["id"]
            argv = ("node", str(compiled / program), build_id, AT_THE_GATE)
            async with running(*argv, url=here.url) as process:
                output, errors = await process.communicate()
            assert (process.returncode, output.decode(), errors) == (0, says, b"")
            await until(lambda: readers(here, build_id) == 1)
            assert await here.status(build_id) == "building"
            gate.open()
            await here.builds.wait(BuildId(build_id))
            assert await here.status(build_id) == "active"


@in_loop
async def test_client_throws_what_the_operator_says(tmp_path: Path, compiled: Path) -> None:
    async with site(tmp_path) as here:
        unknown = BuildId.new()
        printed = await output_of("node", str(compiled / "problem.js"), unknown, url=here.url)
        assert printed.splitlines() == [
            f"404 NotFound: there is no build {unknown}",
            "404 NotFound: there is no ConfigBuild team-a/nothing",
        ]
