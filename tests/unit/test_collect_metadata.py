"""The list of what is installed, out of metadata that somebody else has written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.steps import collect_metadata
from configbuild.steps.collect_metadata import MOST_BYTES, MOST_CHARACTERS, MOST_ENTRIES, main, text
from tests.unit.examples import DETERMINED

PLAIN = "Metadata-Version: 2.4\nName: Dep_A\nVersion: 1.0\n"


def install(site: Path, metadata: str | bytes = PLAIN, *, folder: str = "a", **files: str) -> Path:
    place = site / f"{folder}.dist-info"
    place.mkdir(parents=True)
    content = metadata.encode() if isinstance(metadata, str) else metadata
    (place / "METADATA").write_bytes(content)
    for name, content_of in files.items():
        (place / name.replace("_json", ".json")).write_text(content_of)
    return place


def collect(site: Path) -> list[dict[str, Any]]:
    return collect_metadata.collect(site)


def one(site: Path) -> dict[str, Any]:
    (found,) = collect(site)
    return found


def test_what_a_distribution_says_is_listed_by_its_normal_name(tmp_path: Path) -> None:
    metadata = (
        "Name: Dep_A\nVersion: 1.0\nSummary: Does\n  things\nLicense-Expression: MIT\n"
        "Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X\n\nlong text"
    )
    record = "a,,\n"
    wheel = "Tag: py2-none-any\nTag: py3-none-any\nTag: odd\nBuild: 7\n"
    install(tmp_path, metadata, INSTALLER="uv\n", RECORD=record, WHEEL=wheel)

    assert one(tmp_path) == {
        "name": "dep-a",
        "version": "1.0",
        "installer": "uv",
        "summary": "Does things",
        "license_expression": "MIT",
        "licenses": ["MIT License"],
        "record_sha256": hashlib.sha256(record.encode()).hexdigest(),
        "tags": ["py2-none-any", "py3-none-any"],
        "build": "7",
    }


def test_output_list_and_pins_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    install(site, folder="z")
    install(site, "Name: built\nVersion: 2\n", folder="b", uv_build_json="{}")
    install(site, "Name: direct\nVersion: 3\n", folder="c", direct_url_json="{}")
    output, pins = tmp_path / "out.json", tmp_path / "pins.txt"

    assert main(str(site), str(output), str(pins)) == 0

    names = [entry["name"] for entry in json.loads(output.read_text())["packages"]]
    assert names == ["built", "dep-a", "direct"]
    assert capsys.readouterr().out == "built==2\ndep-a==1.0\ndirect==3\n"
    # Asked for what no index has, uv would tell nothing of the others either.
    assert pins.read_text() == "dep-a==1.0\n"


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("", id="empty"),
        pytest.param("Version: 1\n", id="no name"),
        pytest.param("Name: a\n", id="no version"),
        pytest.param("\nName: a\nVersion: 1\n", id="below the headers"),
        pytest.param("Name: a @ file:///etc\nVersion: 1\n", id="a reference for a name"),
        pytest.param("Name: -r\nVersion: 1\n", id="an option for a name"),
        pytest.param("Name: a\n --index-url=x\nVersion: 1\n", id="a second line"),
        pytest.param("Name: a\nVersion: 1 --hash=x\n", id="an option after the version"),
        pytest.param("Name: a\nVersion: 1; os_name\n", id="a marker after the version"),
        pytest.param("Name: ä\nVersion: 1\n", id="not ASCII"),
        pytest.param(b"Name: a\xff\nVersion: 1\n", id="not UTF-8"),
        pytest.param(f"Name: {'a' * 129}\nVersion: 1\n", id="long"),
        pytest.param(f"X: {'x' * MOST_BYTES}\nName: a\nVersion: 1\n", id="after a megabyte"),
    ],
)
def test_distribution_without_a_usable_name_fails_the_step_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: str | bytes
) -> None:
    site = tmp_path / "site"
    install(site, metadata, folder="b\x1b[31m")
    output, pins = tmp_path / "out.json", tmp_path / "pins.txt"

    assert main(str(site), str(output), str(pins)) == 1

    told = capsys.readouterr().err
    assert r"'b\x1b[31m.dist-info' in the venv has no METADATA with a name" in told
    assert not output.exists()
    assert not pins.exists()


def test_one_name_twice_fails_the_step(tmp_path: Path) -> None:
    install(tmp_path, folder="a")
    install(tmp_path, "Name: dep.a\nVersion: 2\n", folder="b")

    with pytest.raises(collect_metadata.InvalidDistributionError, match="dep-a is installed twice"):
        collect(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "link", "linked folder"])
def test_nothing_is_read_that_is_no_plain_file(tmp_path: Path, kind: str) -> None:
    place = install(tmp_path / "site", RECORD="secret")
    if kind == "linked folder":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(collect_metadata.InvalidDistributionError):
            collect(tmp_path / "site")
        return
    (place / "RECORD").rename(tmp_path / "elsewhere")
    if kind == "pipe":
        os.mkfifo(place / "RECORD")  # who opens it waits for ever
    else:
        (place / "RECORD").symlink_to(tmp_path / "elsewhere")

    assert "record_sha256" not in one(tmp_path / "site")


def test_repeated_fields_are_bounded(tmp_path: Path) -> None:
    many = "".join(f"Classifier: License :: L{k}\n" for k in range(10 * MOST_ENTRIES))
    install(tmp_path, PLAIN + many, WHEEL="Tag: py3-none-any\n" * 10 * MOST_ENTRIES)

    assert len(one(tmp_path)["licenses"]) == len(one(tmp_path)["tags"]) == MOST_ENTRIES


@DETERMINED
@given(st.text(st.characters(exclude_categories=[])) | st.text("\x1b\u202e\u2028\x00 a\n"))
def test_text_is_one_short_printable_line(said: str) -> None:
    told = text(said)

    assert told.isprintable()
    assert len(told) <= MOST_CHARACTERS
    assert told == told.strip()
    told.encode()


@DETERMINED
@given(st.binary(max_size=200))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, more: bytes) -> None:
    site = tmp_path_factory.mktemp("site")
    place = install(site, PLAIN.encode() + b"Summary: " + more)
    for name in ("WHEEL", "INSTALLER"):
        (place / name).write_bytes(more)

    found = one(site)

    assert (found["name"], found["version"]) == ("dep-a", "1.0")
    assert json.loads(json.dumps(found)) == found
