"""A client of the former service works against this one, unchanged.

It is written from the description of that service's wire format alone: it knows the fields that
there were, holds them to their types, passes over all others, and reads streams as its clients did.
It shares no code with the operator, and waits for its answers in a thread.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.process.support import in_loop
from tests.web.support import INVOICES, Lines, site, spec
from tests.web.test_streams import AT_THE_GATE, followed

Fields = dict[str, Any]
NULL = type(None)

BUILD: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "object": (str,),
    "workspace_id": (str,),
    "config_id": (str,),
    "configuration_id": (str,),
    "configuration_build_id": (NULL,),
    "build_ref": (NULL,),
    "status": (str,),
    "created": (int,),
    "started": (int, NULL),
    "finished": (int, NULL),
    "exit_code": (int, NULL),
    "summary": (str, NULL),
    "error_message": (str, NULL),
}
EVENT: dict[str, tuple[type, ...]] = {
    "object": (str,),
    "build_id": (str,),
    "created": (int,),
    "type": (str,),
}
EVENTS: dict[str, dict[str, tuple[type, ...]]] = {
    "build.created": {"status": (str,), "config_id": (str,)},
    "build.step": {"step": (str,), "message": (str,)},
    "build.log": {"stream": (str,), "message": (str,)},
    "build.completed": {
        "status": (str,),
        "exit_code": (int, NULL),
        "summary": (str, NULL),
        "error_message": (str, NULL),
    },
}
ENTRY: dict[str, tuple[type, ...]] = {
    "id": (int,),
    "created": (int,),
    "stream": (str,),
    "message": (str,),
}
CONFIG = (INVOICES.namespace, INVOICES.name)
RUNNING, ENDED = ("queued", "building"), ("active", "failed", "canceled")


class FormerError(Exception):
    """The service refused; the former client knew the status alone."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def known(answer: Fields, fields: dict[str, tuple[type, ...]]) -> Fields:
    """Take what was known of an object; all of it has to be there, and of its type."""
    for name, types in fields.items():
        assert type(answer[name]) in types, (name, answer[name])
    return {name: answer[name] for name in fields}


class FormerClient:
    """What programs did with the former service."""

    def __init__(self, url: str) -> None:
        self._host = url.removeprefix("http://")

    def create(self, workspace: str, config: str, **body: Any) -> Fields:
        build = known(self._json("POST", self._builds(workspace, config), body, 200, 201), BUILD)
        assert build["object"] == "ade.build"
        assert re.fullmatch(r"build_[0-9A-HJKMNP-TV-Z]{26}", build["id"])
        assert build["config_id"] == build["configuration_id"] == config
        assert build["status"] in RUNNING + ENDED
        return build

    def stream(self, workspace: str, config: str, **options: bool) -> list[Fields]:
        body = {"stream": True, "options": options}
        answer, connection = self._ask("POST", self._builds(workspace, config), body)
        with closing(connection):
            if answer.status != 200:
                raise FormerError(answer.status)
            assert answer.headers.get_content_type() == "application/x-ndjson"
            return list(self._events(answer))

    def get(self, build_id: str) -> Fields:
        return known(self._json("GET", f"/api/v1/builds/{build_id}", None, 200), BUILD)

    def poll(self, build_id: str) -> Fields:
        while (build := self.get(build_id))["status"] in RUNNING:
            pass
        assert build["status"] in ENDED
        return build

    def logs(self, build_id: str, *, limit: int) -> Iterator[Fields]:
        after_id: int | None = 0
        while after_id is not None:
            query = f"after_id={after_id}&limit={limit}"
            page = self._json("GET", f"/api/v1/builds/{build_id}/logs?{query}", None, 200)
            assert (page["object"], page["build_id"]) == ("ade.build.logs", build_id)
            assert len(page["entries"]) <= limit
            yield from (known(entry, ENTRY) for entry in page["entries"])
            after_id = page["next_after_id"]

    @staticmethod
    def _builds(workspace: str, config: str) -> str:
        return f"/api/v1/workspaces/{workspace}/configs/{config}/builds"

    @staticmethod
    def _events(answer: http.client.HTTPResponse) -> Iterator[Fields]:
        """Read a stream: blank lines are skipped, the last one need not have its end."""
        for line in re.split(rb"\r?\n", answer.read()):
            if not line.strip():
                continue
            event = json.loads(line)
            fields = {**EVENT, **EVENTS[event["type"]]}
            assert event["object"] == "ade.build.event"
            yield known(event, fields)

    def _json(self, method: str, path: str, body: Any, *expected: int) -> Fields:
        answer, connection = self._ask(method, path, body)
        with closing(connection):
            if answer.status not in expected:
                raise FormerError(answer.status)
            told: Fields = json.loads(answer.read())
            return told

    def _ask(
        self, method: str, path: str, body: Any
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse(), connection


@in_loop
async def test_background_build_is_polled_to_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        former = FormerClient(here.url)
        queued = await asyncio.to_thread(former.create, *CONFIG, stream=False)
        built = await asyncio.to_thread(former.poll, queued["id"])
        assert (built["status"], built["exit_code"]) == ("active", 0)
        assert (built["summary"], built["error_message"]) == ("Build succeeded", None)
        assert built["created"] <= built["started"] <= built["finished"]

        again = await asyncio.to_thread(former.create, *CONFIG)
        assert (again["id"], again["summary"]) == (built["id"], "Reused existing build")


@pytest.mark.parametrize("heartbeat_s", [15.0, 0.01], ids=["quiet", "with empty lines"])
@in_loop
async def test_stream_is_read_to_its_end(tmp_path: Path, heartbeat_s: float) -> None:
    async with site(tmp_path, heartbeat_s=heartbeat_s) as here:
        events = await asyncio.to_thread(FormerClient(here.url).stream, *CONFIG)
        assert events[0]["type"] == "build.created"
        assert events[-1]["type"] == "build.completed"
        assert [event["type"] for event in events].count("build.completed") == 1
        assert (events[-1]["status"], events[-1]["summary"]) == ("active", "Build succeeded")
        begun = [event["step"] for event in events if event["type"] == "build.step"]
        assert list(dict.fromkeys(begun)) == [
            "create_venv",
            "upgrade_pip",
            "install_engine",
            "install_config",
            "verify_imports",
            "collect_metadata",
        ]
        assert AT_THE_GATE in {event.get("message") for event in events}


@in_loop
async def test_stream_joins_while_another_request_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        former = FormerClient(here.url)
        with closing(here.shut_gate()) as gate:
            running = await asyncio.to_thread(former.create, *CONFIG)
            with pytest.raises(FormerError) as refused:
                await asyncio.to_thread(former.create, *CONFIG)
            assert refused.value.status == 409
            streaming = asyncio.create_task(asyncio.to_thread(former.stream, *CONFIG, wait=True))
            async with here.http.stream("GET", followed(running["id"])) as answer:
                await Lines(answer).until(AT_THE_GATE)
            gate.open()
            events = await streaming
        assert {event["build_id"] for event in events} == {running["id"]}


@in_loop
async def test_failed_build_says_what_went_wrong(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.declarations.specs[INVOICES] = spec("broken==1.0")
        former = FormerClient(here.url)
        events = await asyncio.to_thread(former.stream, *CONFIG, force=True)
        assert (events[-1]["status"], events[-1]["exit_code"]) == ("failed", 3)
        failed = await asyncio.to_thread(former.get, events[0]["build_id"])
        assert failed["error_message"] == events[-1]["error_message"]
        assert "no package broken" in failed["error_message"]


@pytest.mark.parametrize("limit", [1, 3, 1000])
@in_loop
async def test_logs_are_read_page_by_page(tmp_path: Path, limit: int) -> None:
    async with site(tmp_path) as here:
        former = FormerClient(here.url)
        events = await asyncio.to_thread(former.stream, *CONFIG)
        build_id = events[0]["build_id"]
        entries = await asyncio.to_thread(lambda: list(former.logs(build_id, limit=limit)))
        assert [(entry["stream"], entry["message"]) for entry in entries] == [
            (event["stream"], event["message"]) for event in events if event["type"] == "build.log"
        ]
        ids = [entry["id"] for entry in entries]
        assert ids == sorted(set(ids))


@in_loop
async def test_refusals_have_the_status_that_they_had(tmp_path: Path) -> None:
    async with site(tmp_path, queue_limit=0) as here:
        former = FormerClient(here.url)
        for status, call in (
            (404, lambda: former.create("team-a", "nothing")),
            (404, lambda: former.get("build_01JD9V0Q6BX7ZQ4V7E3MPK2T5C")),
            (503, lambda: former.create(*CONFIG)),
        ):
            with pytest.raises(FormerError) as refused:
                await asyncio.to_thread(call)
            assert refused.value.status == status
