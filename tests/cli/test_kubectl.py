"""``kubectl configbuild`` against the real service and server; only uv has a stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from configbuild.errors import SourceError
from configbuild.model import BuildId
from tests.cli.support import STEPS, Ended, Terminal, argv, environment
from tests.cli.test_explain import BUILT, body, kubectl, state
from tests.process.support import in_loop
from tests.unit.examples import active
from tests.web.support import INVOICES, site, spec

NAMESPACE = ("-n", INVOICES.namespace)


def shell(server: str | None = None, extra: Mapping[str, object] | None = None) -> dict[str, str]:
    named = {"CONFIGBUILD_SERVER": server} if server else {}
    return environment({"KUBECONFIG": "/nowhere", **named, **(extra or {})})


async def start(*arguments: object, env: Mapping[str, str], stdout: int = PIPE) -> Process:
    return await asyncio.create_subprocess_exec(
        *argv("kubectl", *arguments), env=env, stdout=stdout, stderr=PIPE
    )


async def run(*arguments: object, env: Mapping[str, str]) -> Ended:
    return await end(await start(*arguments, env=env))


async def end(process: Process, read: bytes = b"") -> Ended:
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(code=process.returncode, stdout=read + (stdout or b""), stderr=stderr)


async def read_until(process: Process, text: str) -> bytes:
    assert process.stdout is not None
    read = b""
    while text.encode() not in read:
        line = await process.stdout.readline()
        assert line, (read, await process.communicate())
        read += line
    return read


@contextlib.asynccontextmanager
async def cutting_proxy(url: str, *, after_bytes: int, refused: int) -> AsyncIterator[Proxy]:
    """Pass everything on, but break off each stream of events after so many bytes.

    The first ``refused`` connections after a cut are closed at once.
    """
    proxy = Proxy(url, after_bytes=after_bytes, refused=refused)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        proxy.url = f"http://{host}:{port}"
        yield proxy


class Proxy:
    """Counts what it ``cut`` and what it ``refused``."""

    def __init__(self, upstream: str, *, after_bytes: int, refused: int) -> None:
        self.url = ""
        self.cut = 0
        self._host, _, port = upstream.removeprefix("http://").partition(":")
        self._port = int(port)
        self._after_bytes = after_bytes
        self._to_refuse = refused
        self.refused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.cut and self.refused < self._to_refuse:
                self.refused += 1
                return
            request = await reader.readuntil(b"\r\n\r\n")
            there, back = await asyncio.open_connection(self._host, self._port)
            try:
                back.write(request)
                limit = self._after_bytes if b"/events" in request else 1 << 30
                while limit and (block := await there.read(min(limit, 65536))):
                    limit -= len(block)
                    writer.write(block)
                    await writer.drain()
                self.cut += not limit
            finally:
                back.close()
        finally:
            writer.close()


@in_loop
async def test_logs_follow_a_build_live_to_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        process = await start(
            "logs", "-f", "invoices", *NAMESPACE, "-o", "ndjson", env=shell(here.url)
        )
        read = await read_until(process, "résolving")
        gate.open()
        done = await end(process, read)
        gate.close()
        assert (done.code, done.errors) == (0, "")
        assert done.stdout == here.journal(build_id)


@in_loop
async def test_logs_go_on_after_the_last_event_when_the_connection_breaks(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        # Some four lines: so a cut falls within one, as it would in the wild.
        async with cutting_proxy(here.url, after_bytes=1300, refused=2) as proxy:
            for follow in ("-f", "--after-id=0"):
                proxy.cut, proxy.refused = 0, 0
                done = await run("logs", follow, build_id, "-o", "ndjson", env=shell(proxy.url))
                assert done.code == 0, done
                assert done.stdout == here.journal(build_id)
                assert (proxy.refused, proxy.cut >= 3) == (2, True)
                assert "reading on after event" in done.errors


@in_loop
async def test_logs_as_text_tell_the_streams_apart(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        done = await run("logs", build_id, env=shell(here.url))
        assert done.code == 0
        assert done.lines[0] == f"{build_id} of team-a/invoices: Initial"
        assert "install_config | installed ade-config==2.1" in done.lines
        assert "verify_imports ! all is compatible" in done.lines
        assert "upgrade_pip: skipped (uv installs without pip in the environment)" in done.lines
        assert done.lines[-1] == "Build succeeded"
        rest = await run("logs", build_id, "--after-id", len(done.lines) - 2, env=shell(here.url))
        assert rest.lines == done.lines[-2:]


@in_loop
async def test_logs_of_a_build_that_runs_end_without_follow(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        gate = here.shut_gate()
        process = await start("build", "invoices", "--stream", *NAMESPACE, env=shell(here.url))
        await read_until(process, "résolving")
        done = await run("logs", "invoices", *NAMESPACE, env=shell(here.url))
        assert done.code == 0
        assert done.lines[-1] == "install_config | résolving ade-config==2.1"
        gate.open()
        assert (await end(process)).code == 0
        gate.close()


@in_loop
async def test_build_is_queued_then_joined_then_reused(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        env = shell(here.url)
        gate = here.shut_gate()
        asked = await run("build", "invoices", *NAMESPACE, env=env)
        assert asked.code == 0, asked
        build_id, _, status = asked.text.strip().partition(": ")
        assert status in ("queued", "building", "queued, number 1 in the queue")

        again = await run("build", "invoices", *NAMESPACE, env=env)
        assert (again.code, again.stdout) == (2, b"")
        assert again.errors.startswith(f"error: build {build_id} of team-a/invoices runs already")

        streaming = await start(
            "build", "invoices", "--stream", "-o", "ndjson", *NAMESPACE, env=env
        )
        read = await read_until(streaming, "résolving")
        waiting = await start("build", "invoices", "--wait", *NAMESPACE, env=env)
        gate.open()
        streamed, waited = await end(streaming, read), await end(waiting)
        gate.close()
        assert (streamed.code, waited.code) == (0, 0)
        assert streamed.stdout == here.journal(build_id)
        # It may have come a moment after the end.
        assert waited.lines[-1] in (
            f"{build_id}: Build succeeded",
            f"{build_id}: Reused existing build",
        )

        for flag in ((), ("--wait",)):
            reused = await run("build", "invoices", *flag, *NAMESPACE, env=env)
            assert (reused.code, reused.text) == (0, f"{build_id}: Reused existing build\n")
        (tmp_path / "gate").unlink()
        forced = await run("build", "invoices", "--force", "--wait", *NAMESPACE, env=env)
        assert forced.code == 0
        assert build_id not in forced.text


@in_loop
async def test_failed_build_ends_with_1_and_says_why(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs[INVOICES] = spec(config="broken==1")
        waited = await run("build", "invoices", "--wait", *NAMESPACE, env=shell(here.url))
        assert waited.code == 1
        assert waited.lines[0].startswith("create_venv: Create virtual environment")
        assert waited.lines[-4].startswith("install_config: failed after ")
        build_id = waited.lines[-3].split(":")[0]
        assert waited.lines[-3:] == [
            f"{build_id}: Build failed in step install_config",
            "uv pip install exited with 3:",
            "  no package broken",
        ]
        logs = await run("logs", "invoices", *NAMESPACE, env=shell(here.url))
        assert logs.code == 1
        assert (
            "Build failed in step install_config (InstallConfigFailed), exit code 3" in logs.lines
        )


@in_loop
async def test_cancel_ends_the_newest_build_and_list_shows_all(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        env = shell(here.url)
        first = (await here.build())["id"]
        gate = here.shut_gate()
        process = await start("build", "invoices", "--force", "--stream", *NAMESPACE, env=env)
        await read_until(process, "résolving")
        canceled = await run("cancel", "invoices", *NAMESPACE, env=env)
        streamed = await end(process)
        gate.close()
        second, _, words = canceled.text.strip().partition(": ")
        assert (canceled.code, words) == (0, "is being ended")
        assert (streamed.code, streamed.lines[-2]) == (1, "Build canceled (Canceled)")
        again = await run("cancel", second, env=env)
        assert (again.code, again.text) == (0, f"{second}: has ended already (canceled)\n")

        listed = await run("list", "invoices", *NAMESPACE, env=env)
        assert listed.code == 0
        assert [line.split()[:3] for line in listed.lines] == [
            ["BUILD", "STATUS", "TRIGGER"],
            [second, "canceled", "Forced"],
            [first, "active", "Initial"],
        ]
        assert max(map(len, listed.lines)) <= 80


@in_loop
async def test_wait_on_a_terminal_shows_the_steps_as_they_go(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        gate = here.shut_gate()
        command = argv("kubectl", "build", "invoices", "--wait", *NAMESPACE)
        terminal = Terminal(command, shell(here.url))
        screen = await asyncio.to_thread(terminal.until, "résolving")
        assert screen.lines[0] == "Waiting for the build of team-a/invoices"
        assert [line for line in screen.lines if line.startswith("✓ create_venv")]
        assert [line for line in screen.lines if line.startswith("· verify_imports")]
        gate.open()
        code, screen = await asyncio.to_thread(terminal.end)
        gate.close()
        assert code == 0
        assert [line.split()[:2] for line in screen.lines if line.startswith(("✓", "-"))] == [
            *(["-" if name == "upgrade_pip" else "✓", name] for name in STEPS),
            ["✓", "Built"],
        ]
        assert screen.widest <= 80

        here.declarations.specs[INVOICES] = spec(config="broken==1")
        terminal = Terminal(command, shell(here.url))
        code, screen = await asyncio.to_thread(terminal.end)
        assert code == 1
        assert "✗ Build failed in step install_config after" in str(screen)
        assert "    no package broken" in screen.lines
        assert "  reason     InstallConfigFailed" in screen.lines


@in_loop
async def test_answers_are_written_for_programs_where_that_is_asked_for(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        env = shell(here.url)
        made = await run("build", "invoices", "--wait", "-o", "json", *NAMESPACE, env=env)
        build_id = json.loads(made.text)["id"]
        assert (made.code, json.loads(made.text)["status"]) == (0, "active")
        again = await run("build", "invoices", "-o", "name", *NAMESPACE, env=env)
        assert (again.code, again.text) == (0, f"{build_id}\n")
        listed = await run("list", "invoices", "-o", "yaml", *NAMESPACE, env=env)
        assert [it["id"] for it in yaml.safe_load(listed.text)["builds"]] == [build_id]
        ended = await run("cancel", build_id, "-o", "name", env=env)
        assert (ended.code, ended.text) == (0, f"{build_id}\n")
        for arguments in (("--stream", "-o", "json"), ("-o", "ndjson")):
            assert (await run("build", "invoices", *arguments, env=env)).code == 2
        assert (await run("list", "invoices", "-A", env=env)).code == 2


@in_loop
async def test_page_ends_with_the_last_lines_that_the_operator_has(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        events = len(here.journal(build_id).splitlines())
        found = body(
            state(newest=replace(BUILT, id=BuildId(build_id)), active=active()),
            status={"log": {"lines": events, "bytes": 1, "url": "u"}},
        )
        env = kubectl(tmp_path, f"printf %s {shlex.quote(json.dumps(found))}")
        asked = await run("describe", "invoices", env={**env, "CONFIGBUILD_SERVER": here.url})
        assert asked.code == 0, asked
        assert "         ! all is compatible" in asked.lines
        few = await run("describe", "invoices", "--lines=1", "--server", here.url, env=env)
        assert len(few.lines) < len(asked.lines)
        unasked = await run("describe", "invoices", "--server", "http://127.0.0.1:1", env=env)
        assert (unasked.code, unasked.errors) == (0, "")
        assert "no lines: nobody answers at http://127.0.0.1:1" in unasked.text


@in_loop
async def test_who_leaves_ends_no_build(tmp_path: Path) -> None:
    async with site(tmp_path, heartbeat_s=0.02) as here:
        gate = here.shut_gate()
        env = shell(here.url)
        process = await start("build", "invoices", "--stream", *NAMESPACE, env=env)
        build_id = (await read_until(process, "résolving")).split()[0].decode()
        process.terminate()
        await end(process)

        # Its reader leaves while nothing is to be written: the server's heartbeat makes it look.
        ours, theirs = os.pipe()
        process = await start("logs", "-f", build_id, env=env, stdout=theirs)
        os.close(theirs)
        first = await asyncio.to_thread(os.read, ours, 4096)
        os.close(ours)
        assert first.startswith(f"{build_id} of team-a/invoices: Initial\n".encode())
        left = await end(process)
        assert (left.code, left.errors) == (128 + signal.SIGPIPE, "")

        assert await here.status(build_id) == "building"
        gate.open()
        await here.events(build_id, follow=True)
        assert await here.status(build_id) == "active"
        gate.close()


@in_loop
async def test_namespace_is_that_of_the_current_context(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("current-context: two\ncontexts: []\n")
    (tmp_path / "b").write_text(
        "current-context: one\ncontexts:\n"
        "- {name: one, context: {namespace: wrong}}\n"
        "- {name: two, context: {namespace: team-a, cluster: x}}\n"
    )
    files = os.pathsep.join(str(tmp_path / name) for name in ("no", "a", "b"))
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        listed = await run("list", "invoices", env=shell(here.url, {"KUBECONFIG": files}))
        assert build_id in listed.text
        default = await run("list", "invoices", env=shell(here.url))
        assert (default.code, default.errors) == (
            2,
            "error: there is no ConfigBuild default/invoices\n",
        )
    (tmp_path / "a").write_text("[")
    broken = await run("list", "invoices", env=shell(here.url, {"KUBECONFIG": files}))
    assert broken.code == 2
    assert f"the kubeconfig {tmp_path / 'a'} cannot be read" in broken.errors


@in_loop
async def test_what_is_wrong_with_the_request_ends_with_2(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for arguments, words in (
            (("logs", "build_x"), "not a build id: 'build_x'"),
            (("logs", "build_01JD9V0Q6BX7ZQ4V7E3MPK2T5C"), "there is no build build_01JD9"),
            (("logs", "receipts", *NAMESPACE), "there is no ConfigBuild team-a/receipts"),
            (("list", "In_voices", *NAMESPACE), "config_id: "),
            (("build", "invoices", "-o", "ndjson"), "--output ndjson prints a stream"),
            (("list", "invoices", "--server", "127.0.0.1:1"), "--server: '127.0.0.1:1' is no URL"),
        ):
            done = await run(*arguments, env=shell(here.url))
            assert (done.code, done.stdout) == (2, b""), done
            assert done.errors.startswith(f"error: {words}"), done
            assert done.errors.count("\n") == 1


@in_loop
async def test_server_that_does_not_answer_ends_with_3(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for arguments in (("list", "x"), ("logs", "-f", "x"), ("build", "x", "--stream")):
            done = await run(*arguments, env=shell(url))
            assert (done.code, done.stdout) == (3, b"")
            assert done.errors.startswith(f"error: nobody answers at {url} (")
    async with site(tmp_path) as here:
        here.declarations.fault = SourceError("spec.config", "is not there now")
        done = await run("build", "invoices", *NAMESPACE, env=shell(here.url))
        assert (done.code, done.errors) == (3, "error: spec.config: is not there now\n")
