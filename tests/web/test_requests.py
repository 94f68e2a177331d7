"""Asking for builds: which status, which build, which words."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from configbuild.builds.records import BuildRecord
from configbuild.model import BuildId, ConfigKey
from configbuild.sources import ConfigMapContent
from tests.process.support import in_loop
from tests.web.support import BUILDS, INVOICES, Lines, Site, events_of, site, spec

FORMER_FIELDS = {
    "id",
    "object",
    "workspace_id",
    "config_id",
    "configuration_id",
    "configuration_build_id",
    "build_ref",
    "status",
    "created",
    "started",
    "finished",
    "exit_code",
    "summary",
    "error_message",
}


@in_loop
async def test_background_request_is_answered_with_the_queued_build(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()):
            answer = await here.post()
            build = answer.json()

            assert answer.status_code == 201
            assert answer.headers["location"] == f"/api/v1/builds/{build['id']}"
            assert build.keys() > FORMER_FIELDS
            assert BuildId.parse(build["id"])
            assert build["object"] == "ade.build"
            assert (build["workspace_id"], build["config_id"]) == ("team-a", "invoices")
            assert build["configuration_id"] == "invoices"
            assert build["configuration_build_id"] is None
            assert build["build_ref"] is None
            assert build["status"] == "queued"
            assert isinstance(build["created"], int)
            assert (build["started"], build["finished"], build["exit_code"]) == (None, None, None)
            assert build["trigger"] == "Initial"


@in_loop
async def test_former_clients_may_leave_out_the_whole_body(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()):
            assert (await here.http.post(BUILDS)).status_code == 201


@in_loop
async def test_build_that_waits_tells_its_place(tmp_path: Path) -> None:
    async with site(tmp_path, max_concurrency=1) as here:
        here.declarations.specs[ConfigKey("team-b", "other")] = spec()
        with closing(here.shut_gate()):
            await here.post()
            answer = await here.http.post(
                BUILDS.replace("team-a/configs/invoices", "team-b/configs/other")
            )
            assert answer.json()["queue_position"] == 1
            assert answer.json()["status"] == "queued"


@in_loop
async def test_client_hears_of_a_build_only_once_it_is_written_down(tmp_path: Path) -> None:
    asked: asyncio.Queue[BuildRecord] = asyncio.Queue()
    written = asyncio.Event()

    async def recorded(record: BuildRecord) -> None:
        asked.put_nowait(record)
        await written.wait()

    async with site(tmp_path, recorded=recorded) as here:
        request = asyncio.create_task(here.post())
        record = await asked.get()
        await here.builds.wait(record.id)
        assert not request.done()
        written.set()
        assert (await request).json()["id"] == record.id


@in_loop
async def test_second_request_is_refused_and_names_the_running_build(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()):
            running = (await here.post()).json()["id"]
            answer = await here.post()

            assert answer.status_code == 409
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["type"] == "urn:ade:problem:build-running"
            assert problem["reason"] == "BuildRunning"
            assert problem["build_id"] == running
            assert running in problem["detail"]
            assert problem["instance"] == BUILDS


@in_loop
async def test_waiting_request_joins_the_running_build_to_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            running = (await here.post()).json()["id"]
            async with here.http.stream("GET", f"/api/v1/builds/{running}/events?follow=1") as live:
                await Lines(live).until("résolving ade-config==2.1")
            waiting = asyncio.create_task(here.post(options={"wait": True}))
            gate.open()
            answer = await waiting

            assert answer.status_code == 200
            build = answer.json()
            assert (build["id"], build["status"]) == (running, "active")
            assert (build["exit_code"], build["summary"]) == (0, "Build succeeded")
            assert build["created"] <= build["started"] <= build["finished"]
            assert [step["name"] for step in build["steps"]] == [
                "create_venv",
                "upgrade_pip",
                "install_engine",
                "install_config",
                "verify_imports",
                "collect_metadata",
            ]


@in_loop
async def test_wait_for_a_new_build_answers_201_at_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.post(options={"wait": True})
        assert (answer.status_code, answer.json()["status"]) == (201, "active")


@in_loop
async def test_wait_that_is_over_answers_202_with_the_build_as_it_stands(tmp_path: Path) -> None:
    async with site(tmp_path, ensure_wait_s=0.05) as here:
        with closing(here.shut_gate()):
            answer = await here.post(options={"wait": True})
            assert answer.status_code == 202
            assert answer.json()["status"] in ("queued", "building")
            assert answer.headers["location"].endswith(answer.json()["id"])


@in_loop
async def test_unchanged_config_is_answered_with_its_active_build(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        built = await here.build()
        answer = await here.post()

        assert answer.status_code == 200
        assert answer.json() == built | {"summary": "Reused existing build"}
        assert len((await here.http.get(BUILDS)).json()["builds"]) == 1


@in_loop
async def test_force_supersedes_the_running_build(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            first = (await here.post()).json()["id"]
            answer = await here.post(options={"force": True})

            assert answer.status_code == 201
            second = answer.json()
            assert second["id"] != first
            assert second["trigger"] == "Forced"
            superseded = (await here.http.get(f"/api/v1/builds/{first}")).json()
            assert (superseded["status"], superseded["reason"]) == ("canceled", "Superseded")
            gate.open()
            await here.builds.wait(second["id"])

        listed = (await here.http.get(BUILDS)).json()
        assert listed["object"] == "ade.build.list"
        assert [build["id"] for build in listed["builds"]] == [second["id"], first]


@in_loop
async def test_force_builds_anew_what_could_be_reused(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        built = await here.build()
        answer = await here.post(options={"force": True, "wait": True})
        assert answer.status_code == 201
        assert answer.json()["id"] != built["id"]
        assert answer.json()["status"] == "active"


@in_loop
async def test_failed_build_tells_why_and_is_tried_again_when_asked(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs[INVOICES] = spec("broken==1.0")
        answer = await here.post(options={"wait": True})
        assert answer.status_code == 201
        failed = answer.json()
        assert failed["status"] == "failed"
        assert failed["exit_code"] == 3
        assert failed["reason"] == "InstallConfigFailed"
        assert "no package broken" in failed["error_message"]

        again = await here.post(options={"wait": True})
        assert again.status_code == 201
        assert again.json()["id"] != failed["id"]


@in_loop
async def test_stream_runs_from_created_to_completed(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.post(stream=True)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        events = events_of(answer.content)
        assert [event["id"] for event in events] == list(range(1, len(events) + 1))
        assert events[0]["type"] == "build.created"
        assert events[-1]["type"] == "build.completed"
        assert events[-1]["status"] == "active"
        assert answer.content == here.journal(events[0]["build_id"])


@in_loop
async def test_stream_joins_the_running_build_and_sees_all_of_it(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            running = (await here.post()).json()["id"]
            async with here.http.stream("POST", BUILDS, json={"stream": True}) as joined:
                lines = Lines(joined)
                await lines.until("résolving ade-config==2.1")
                gate.open()
                assert await lines.rest() == here.journal(running)


@in_loop
async def test_who_saw_the_end_can_rely_on_it(tmp_path: Path) -> None:
    async with (
        site(tmp_path) as here,
        here.http.stream("POST", BUILDS, json={"stream": True}) as answer,
    ):
        lines = Lines(answer)
        while (event := await lines.event())["type"] != "build.completed":
            pass
        assert await here.status(event["build_id"]) == "active"
        assert (await here.post()).json()["summary"] == "Reused existing build"


@in_loop
async def test_stream_of_a_reused_build_tells_it_again_and_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        built = await here.build()
        answer = await here.post(stream=True)

        assert answer.status_code == 200
        whole = here.journal(built["id"]).splitlines()
        told = answer.content.splitlines()
        assert told[:-1] == whole[:-1]
        assert told[-1] == whole[-1].replace(b"Build succeeded", b"Reused existing build")
        assert told[-1] != whole[-1]


@in_loop
async def test_stream_of_a_reused_build_has_both_ends_when_its_journal_is_gone(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        built = await here.build()
        here.journals.remove(BuildId(built["id"]))
        first, last = events_of((await here.post(stream=True)).content)

        assert (first["type"], first["id"]) == ("build.created", 1)
        assert first["build_id"] == last["build_id"] == built["id"]
        assert (last["type"], last["id"]) == ("build.completed", 2)
        assert (last["status"], last["summary"]) == ("active", "Reused existing build")
        assert last["exit_code"] == 0


@in_loop
async def test_cancel_ends_the_running_build(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()):
            running = (await here.post()).json()["id"]
            answer = await here.http.post(f"/api/v1/builds/{running}/cancel")
            assert (answer.status_code, answer.json()["id"]) == (202, running)
            await here.builds.wait(BuildId(running))

        canceled = (await here.http.get(f"/api/v1/builds/{running}")).json()
        assert (canceled["status"], canceled["reason"]) == ("canceled", "Canceled")
        assert events_of(await here.events(running))[-1]["status"] == "canceled"


@in_loop
async def test_cancel_leaves_a_build_that_has_ended_as_it_is(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        built = await here.build()
        answer = await here.http.post(f"/api/v1/builds/{built['id']}/cancel")
        assert (answer.status_code, answer.json()) == (202, built)


async def refused(here: Site, status: int, reason: str) -> tuple[httpx.Response, dict[str, Any]]:
    """Ask in both ways; the stream is refused before its first byte, by the same problem."""
    answer, stream = await here.post(), await here.post(stream=True)
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, stream.status_code) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem == stream.json()
    assert (problem["status"], problem["reason"]) == (status, reason)
    return answer, problem


@in_loop
async def test_unknown_config_is_not_found(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs.clear()
        _, problem = await refused(here, 404, "NotFound")
        assert "team-a/invoices" in problem["detail"]
        assert (await here.http.get(BUILDS)).status_code == 404


@in_loop
async def test_suspended_config_is_a_conflict(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs[INVOICES] = spec(suspend=True)
        _, problem = await refused(here, 409, "Suspended")
        assert problem["type"] == "urn:ade:problem:suspended"


@in_loop
async def test_wrong_spec_is_a_conflict_that_names_the_field(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs[INVOICES] = spec(python="3.2")
        _, problem = await refused(here, 409, "PythonUnavailable")
        assert problem["type"] == "urn:ade:problem:invalid-spec"
        assert problem["field"] == "spec.python"


@in_loop
async def test_source_that_is_not_there_may_be_tried_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs[INVOICES] = spec() | {"config": {"configMap": {"name": "rules"}}}
        answer, problem = await refused(here, 503, "ConfigMapNotFound")
        assert int(answer.headers["retry-after"]) > 0
        assert problem["type"] == "urn:ade:problem:source-unavailable"
        assert problem["field"] == "spec.config.configMap.name"

        here.declarations.config_maps["team-a", "rules"] = ConfigMapContent(
            data={"a.py": ""}, binary_data={}
        )
        assert (await here.post()).status_code == 201


@in_loop
async def test_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    async with site(tmp_path, queue_limit=0) as here:
        answer, problem = await refused(here, 503, "QueueFull")
        assert int(answer.headers["retry-after"]) > 0
        assert problem["type"] == "urn:ade:problem:queue-full"
