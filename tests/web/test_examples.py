"""The examples in the documentation are those in docs/examples, and these do what they say."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.process.support import in_loop
from tests.web.examples import (
    DOCS,
    EXAMPLES,
    check_builds_example,
    check_follow_example,
    check_follow_example_ends_where_it_is_refused,
    example_files,
    regions,
)

PAGES = (DOCS / "http-api.md", DOCS / "events.md")

SHOWN = re.compile(
    r"^<!-- example: (?P<file>[a-z./]+)#(?P<region>[a-z-]+) -->\n```[a-z]+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

CURL = {name: ("bash", str(EXAMPLES / "curl" / f"{name}.sh")) for name in ("builds", "follow")}
PYTHON = {
    name: (sys.executable, str(EXAMPLES / "python" / f"{name}.py")) for name in ("builds", "follow")
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_shows_examples_as_they_are(page: Path) -> None:
    text = page.read_text()
    shown = list(SHOWN.finditer(text))
    assert len(shown) == text.count("<!-- example:") > 0
    for example in shown:
        of_file = regions(EXAMPLES / example["file"])
        assert example["text"] == of_file[example["region"]], example["file"]


def test_page_explains_every_event_and_each_of_its_fields() -> None:
    schema = json.loads((DOCS / "events.schema.json").read_text())
    page = (DOCS / "events.md").read_text()
    envelope = _section(page, "## Every event")
    for reference in schema["oneOf"]:
        event = schema["$defs"][reference["$ref"].rpartition("/")[2]]
        section = _section(page, f"### `{event['properties']['type']['const']}`")
        explained = envelope | section
        assert event["properties"].keys() <= explained, event["properties"].keys() - explained
        assert section <= event["properties"].keys(), section - event["properties"].keys()


def test_page_has_every_route() -> None:
    page = (DOCS / "http-api.md").read_text()
    for path, methods in json.loads((DOCS / "openapi.json").read_text())["paths"].items():
        for method in methods:
            route = path.removeprefix("/api/v1")
            assert re.search(
                rf"`{method.upper()}[^`|]* (/api/v1)?{re.escape(route)}[`?]", page
            ) or (f"`{method.upper()}`" in page and f" {route}`" in page), (method, path)


def _section(page: str, heading: str) -> set[str]:
    """Name the fields in the tables below a heading."""
    _, found, rest = page.partition(f"\n{heading}\n")
    assert found, heading
    rows = re.findall(
        r"^\| (`[^|]*) \|", re.split(r"^##", rest, flags=re.MULTILINE)[0], re.MULTILINE
    )
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_every_example_is_shown() -> None:
    shown = {
        (example["file"], example["region"])
        for page in PAGES
        for example in SHOWN.finditer(page.read_text())
    }
    there_are = {
        (file.relative_to(EXAMPLES).as_posix(), name)
        for file in example_files()
        for name in regions(file)
    }
    assert shown == there_are


@pytest.mark.parametrize("program", [CURL, PYTHON], ids=["curl", "python"])
@in_loop
async def test_example_asks_for_builds(tmp_path: Path, program: dict[str, tuple[str, ...]]) -> None:
    await check_builds_example(tmp_path, *program["builds"])


@pytest.mark.parametrize("program", [CURL, PYTHON], ids=["curl", "python"])
@in_loop
async def test_example_follows_through_cuts(
    tmp_path: Path, program: dict[str, tuple[str, ...]]
) -> None:
    await check_follow_example(tmp_path, *program["follow"])


@pytest.mark.parametrize("program", [CURL, PYTHON], ids=["curl", "python"])
@in_loop
async def test_example_ends_where_it_is_refused(
    tmp_path: Path, program: dict[str, tuple[str, ...]]
) -> None:
    await check_follow_example_ends_where_it_is_refused(tmp_path, *program["follow"])
