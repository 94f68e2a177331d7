"""Watching builds: live, late, again, from anywhere; and readers that leave or stall."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configbuild.builds.records import BuildRecord
from configbuild.builds.state import LastKnown
from configbuild.events import BuildCreated, encode_line
from configbuild.model import BuildId, BuildStatus, Trigger
from tests.process.support import in_loop
from tests.web.support import BUILDS, INVOICES, Lines, Site, events_of, site

AT_THE_GATE = "résolving ade-config==2.1"


def followed(build_id: str, after_id: int = 0) -> str:
    return f"/api/v1/builds/{build_id}/events?follow=true&after_id={after_id}"


async def running_at_the_gate(here: Site) -> str:
    """Start a build and read of it until it waits at the gate."""
    build_id = str((await here.post()).json()["id"])
    async with here.http.stream("GET", followed(build_id)) as answer:
        await Lines(answer).until(AT_THE_GATE)
    return build_id


def readers(here: Site, build_id: str) -> int:
    """Count who has a journal open, its writer included."""
    path = here.journals.path(BuildId(build_id))
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one with which the directory is listed
            count += fd.readlink() == path
    return count


def running_coroutines() -> list[str]:
    return [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@in_loop
async def test_line_can_be_read_before_the_build_goes_on(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = (await here.post()).json()["id"]
            async with here.http.stream("GET", followed(build_id)) as answer:
                lines = Lines(answer)
                event = await lines.until(AT_THE_GATE)
                assert event["type"] == "build.log"
                assert (event["step"], event["stream"]) == ("install_config", "stdout")
                assert await here.status(build_id) == "building"

                gate.open()
                await lines.until("installed ade-config==2.1")
                last = events_of(await lines.rest())[-1]
            assert (last["type"], last["status"]) == ("build.completed", "active")


@in_loop
async def test_reader_can_resume_anywhere_while_the_build_runs(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = await running_at_the_gate(here)
            so_far = (await here.events(build_id)).splitlines(keepends=True)
            cursors = range(len(so_far) + 1)
            for after_id in cursors:
                assert await here.events(build_id, after_id=after_id) == b"".join(so_far[after_id:])

            live = [asyncio.create_task(here.http.get(followed(build_id, c))) for c in cursors]
            await until(lambda: readers(here, build_id) == 1 + len(live))
            gate.open()
            answers = [(await answer).content for answer in live]

        whole = here.journal(build_id).splitlines(keepends=True)
        assert len(whole) > len(so_far)
        assert answers == [b"".join(whole[after_id:]) for after_id in cursors]


@in_loop
async def test_reader_can_resume_anywhere_after_the_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        whole = here.journal(build_id).splitlines(keepends=True)
        for after_id in range(len(whole)):
            rest = b"".join(whole[after_id:])
            assert await here.events(build_id, after_id=after_id) == rest
            assert await here.events(build_id, after_id=after_id, follow=True) == rest


@pytest.mark.parametrize("follow", [False, True])
@in_loop
async def test_cursor_past_the_end_is_given_the_end(tmp_path: Path, follow: bool) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        last = here.journal(build_id).splitlines(keepends=True)[-1]
        for after_id in (len(here.journal(build_id).splitlines()), 1_000_000):
            assert await here.events(build_id, after_id=after_id, follow=follow) == last


@in_loop
async def test_silence_is_filled_with_empty_lines(tmp_path: Path) -> None:
    async with site(tmp_path, heartbeat_s=0.02) as here:
        with closing(here.shut_gate()) as gate:
            build_id = await running_at_the_gate(here)
            async with here.http.stream("GET", followed(build_id)) as answer:
                lines = Lines(answer)
                await lines.until(AT_THE_GATE)
                assert [await lines.line() for _ in range(3)] == [b"", b"", b""]
                gate.open()
                read = await lines.rest()
        told = b"".join(line for line in read.splitlines(keepends=True) if line.strip())
        assert told == here.journal(build_id)


@in_loop
async def test_readers_that_leave_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = await running_at_the_gate(here)
            await until(lambda: readers(here, build_id) == 1)
            tasks = len(asyncio.all_tasks())
            for _ in range(20):
                async with here.http.stream("POST", BUILDS, json={"stream": True}) as answer:
                    await Lines(answer).until(AT_THE_GATE)
            await until(lambda: readers(here, build_id) == 1)
            await until(lambda: len(asyncio.all_tasks()) <= tasks)

            assert await here.status(build_id) == "building"
            gate.open()
            await here.builds.wait(BuildId(build_id))
            assert await here.status(build_id) == "active"


@in_loop
async def test_reader_that_takes_nothing_holds_nobody_up(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate, socket.socket() as stalled:
            build_id = await running_at_the_gate(here)
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", int(here.url.rpartition(":")[2])))
            stalled.sendall(f"GET {followed(build_id)} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            async with here.http.stream("GET", followed(build_id)) as answer:
                gate.open()
                assert await Lines(answer).rest() == here.journal(build_id)


@in_loop
async def test_streams_end_properly_when_the_server_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()):
            build_id = (await here.post()).json()["id"]
            async with here.http.stream("GET", followed(build_id)) as answer:
                lines = Lines(answer)
                await lines.until(AT_THE_GATE)
                waiting = asyncio.create_task(here.post(options={"wait": True}))
                await until(lambda: "Builds.wait" in running_coroutines())
                here.server.cancel()
                read = await lines.rest()

            # Whole lines and no end of the build: to be resumed.
            assert events_of(read)[-1]["type"] == "build.log"
            assert (await waiting).status_code == 202
            with pytest.raises(asyncio.CancelledError):
                await here.server
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


@in_loop
async def test_build_whose_journal_could_not_be_ended_is_ended_from_its_record(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        record = BuildRecord(
            id=BuildId.new(),
            key=INVOICES,
            status=BuildStatus.FAILED,
            trigger=Trigger.INITIAL,
            queued_at=datetime(2025, 1, 1, tzinfo=UTC),
            finished_at=datetime(2025, 1, 2, tzinfo=UTC),
            summary="Build failed",
            message="no space left",
            reason="JournalFailed",
        )
        here.declarations.last_known = LastKnown(newest=record)
        journal = here.journals.create(record.id)
        created = journal.append(
            BuildCreated(
                status=BuildStatus.QUEUED,
                config_id="invoices",
                workspace_id="team-a",
                trigger=Trigger.INITIAL,
            )
        )
        journal.close()
        await here.build()  # so that the config is known

        whole = await here.events(record.id, follow=True)
        assert whole.startswith(encode_line(created))
        end = events_of(whole)[-1]
        assert (end["id"], end["type"]) == (2, "build.completed")
        assert (end["status"], end["reason"]) == ("failed", "JournalFailed")
        assert end["error_message"] == "no space left"
        assert events_of(await here.events(record.id)) == events_of(whole)

        here.journals.remove(record.id)
        assert [event["id"] for event in events_of(await here.events(record.id))] == [1, 2]
        assert events_of(await here.events(record.id, after_id=1)) == [end]
        assert [event["id"] for event in events_of(await here.events(record.id, after_id=7))] == [8]


@in_loop
async def test_unknown_build_is_not_found(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for build_id in (BuildId.new(), BuildId.new().lower(), "build_", "7", "build_" + "0" * 300):
            for route in ("", "/events", "/events?follow=true", "/logs"):
                answer = await here.http.get(f"/api/v1/builds/{build_id}{route}")
                assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
                assert answer.json()["type"] == "urn:ade:problem:not-found"
            assert (await here.http.post(f"/api/v1/builds/{build_id}/cancel")).status_code == 404
