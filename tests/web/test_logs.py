"""A build's output, page by page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from configbuild.model import BuildId
from tests.process.support import in_loop
from tests.web.support import Lines, Site, events_of, site


async def page(here: Site, build_id: str, **query: int) -> dict[str, Any]:
    answer = await here.http.get(f"/api/v1/builds/{build_id}/logs", params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert told.keys() == {"object", "build_id", "entries", "next_after_id"}
    assert (told["object"], told["build_id"]) == ("ade.build.logs", build_id)
    return told


def lines_of(here: Site, build_id: str) -> list[dict[str, Any]]:
    return [
        {key: event[key] for key in ("id", "created", "stream", "message")}
        for event in events_of(here.journal(build_id))
        if event["type"] == "build.log"
    ]


@in_loop
async def test_all_output_of_a_build_is_one_page(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        told = await page(here, build_id)
        assert told["entries"] == lines_of(here, build_id)
        assert {entry["stream"] for entry in told["entries"]} == {"stdout", "stderr"}
        assert told["next_after_id"] is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@in_loop
async def test_pages_make_the_whole(tmp_path: Path, limit: int) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        entries: list[dict[str, Any]] = []
        after_id: int | None = 0
        while after_id is not None:
            told = await page(here, build_id, after_id=after_id, limit=limit)
            assert 0 < len(told["entries"]) <= limit
            entries += told["entries"]
            after_id = told["next_after_id"]
        assert entries == lines_of(here, build_id)


@in_loop
async def test_page_of_a_running_build_says_where_to_go_on(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with closing(here.shut_gate()) as gate:
            build_id = (await here.post()).json()["id"]
            follow = f"/api/v1/builds/{build_id}/events?follow=true"
            async with here.http.stream("GET", follow) as answer:
                last = await Lines(answer).until("résolving ade-config==2.1")

            told = await page(here, build_id)
            assert told["entries"][-1]["id"] == told["next_after_id"] == last["id"]
            nothing_yet = await page(here, build_id, after_id=told["next_after_id"])
            assert nothing_yet["entries"] == []
            assert nothing_yet["next_after_id"] == told["next_after_id"]

            gate.open()
            await here.builds.wait(BuildId(build_id))
        rest = await page(here, build_id, after_id=told["next_after_id"])
        assert told["entries"] + rest["entries"] == lines_of(here, build_id)
        assert rest["next_after_id"] is None


@in_loop
async def test_cursor_past_the_end_has_read_all(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        told = await page(here, build_id, after_id=1_000_000)
        assert (told["entries"], told["next_after_id"]) == ([], None)


@in_loop
async def test_build_without_a_journal_has_no_lines(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        build_id = (await here.build())["id"]
        here.journals.remove(BuildId(build_id))
        told = await page(here, build_id)
        assert (told["entries"], told["next_after_id"]) == ([], None)
