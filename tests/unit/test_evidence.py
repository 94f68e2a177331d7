"""Witnesses of where wheels come from: what is taken from them, and what is not."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.evidence import Evidence
from configbuild.origins import Archive, Built, Distribution, FromIndex, LocalTree, Unknown
from tests.unit.examples import DETERMINED

ONE, OTHER = "1" * 64, "2" * 64
FILE = "dep_a-1.0-py3-none-any.whl"
URL = f"https://h/files/{FILE}"
DEP = Distribution(name="dep-a", version="1.0")
NOTHING = Unknown(why="no hash of its wheel is known")


def evidence(wheelhouse: Path | None = None) -> Evidence:
    return Evidence(wheelhouse=wheelhouse)


def entry(url: str = URL, sha256: str = ONE, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "Dep_A", "version": "1.0"},
        "download_info": {"url": url, "archive_info": {"hashes": {"sha256": sha256}}},
        "is_direct": False,
        **more,
    }


def by_pip(directory: Path, *entries: Any, wheelhouse: Path | None = None) -> Evidence:
    report = directory / "report.json"
    report.write_text(json.dumps({"version": "1", "install": entries}))
    found = evidence(wheelhouse)
    found.take_pip_report(report)
    return found


def lock(url: str = URL, sha256: str = ONE) -> str:
    return f"""\
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "dep-a"
version = "1.0"
wheels = [{{ url = "{url}", hashes = {{ sha256 = "{sha256}" }} }}]
"""


def by_uv(directory: Path, text: str) -> Evidence:
    file = directory / "pylock.toml"
    file.write_text(text)
    found = evidence()
    found.take_looked_up(file)
    return found


def test_pip_tells_address_and_hash(tmp_path: Path) -> None:
    origin = by_pip(tmp_path, entry()).origin_of(DEP)

    assert isinstance(origin, FromIndex)
    assert origin.wheel is not None
    assert (origin.wheel.url, origin.wheel.sha256) == (URL, ONE)


def test_uv_tells_address_and_hash(tmp_path: Path) -> None:
    origin = by_uv(tmp_path, lock()).origin_of(DEP)

    assert isinstance(origin, FromIndex)
    assert origin.wheel is not None
    assert (origin.wheel.url, origin.wheel.sha256) == (URL, ONE)


def test_version_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    spelled = Distribution(name="dep-a", version="v1.0")

    assert isinstance(by_uv(tmp_path, lock()).origin_of(spelled), FromIndex)


def test_other_version_is_another_distribution(tmp_path: Path) -> None:
    newer = Distribution(name="dep-a", version="1.1")

    assert by_uv(tmp_path, lock()).origin_of(newer) == NOTHING


def test_wheel_at_a_url_is_told_as_an_archive(tmp_path: Path) -> None:
    origin = by_pip(tmp_path, entry(is_direct=True)).origin_of(DEP)

    assert origin == Archive(url=URL, sha256=ONE)


def test_report_is_emptied_so_that_no_step_reads_what_an_earlier_one_said(tmp_path: Path) -> None:
    by_pip(tmp_path, entry())

    assert (tmp_path / "report.json").read_bytes() == b""


def test_what_was_told_first_counts_since_later_code_of_packages_runs_beside_pip(
    tmp_path: Path,
) -> None:
    found = by_pip(tmp_path, entry(), entry(sha256=OTHER))

    origin = found.origin_of(DEP)

    assert isinstance(origin, FromIndex)
    assert origin.wheels[0].sha256 == ONE


def test_wheel_of_the_wheelhouse_has_a_path_and_one_of_scratch_has_none(tmp_path: Path) -> None:
    house = tmp_path / "house"
    inside = by_pip(tmp_path, entry(f"file://{house}/{FILE}"), wheelhouse=house).origin_of(DEP)
    outside = by_pip(tmp_path, entry(f"file://{tmp_path}/{FILE}"), wheelhouse=house).origin_of(DEP)

    assert isinstance(inside, FromIndex)
    assert isinstance(outside, FromIndex)
    assert inside.wheels[0].path == str(house / FILE)
    assert (outside.wheels[0].path, outside.wheels[0].url) == (None, None)
    assert outside.wheels[0].sha256 == ONE


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(entry(sha256="x"), id="no hash"),
        pytest.param(entry(sha256=ONE.upper().replace("1", "A")), id="upper case"),
        pytest.param(entry(url="https://h/"), id="no file name"),
        pytest.param(entry(url="https://h/..%2F..%2Fetc.whl/%2e%2e"), id="a path for a name"),
        pytest.param({**entry(), "download_info": {"url": 7}}, id="no URL"),
        pytest.param(entry(metadata=None), id="no metadata"),
        pytest.param(entry(download_info={"url": URL, "vcs_info": {}}), id="from a repository"),
        pytest.param(None, id="nothing"),
    ],
)
def test_entry_that_is_of_no_use_is_passed_over_and_the_next_is_not(
    tmp_path: Path, broken: Any
) -> None:
    other = entry(url=URL.replace("dep_a", "dep_b"), metadata={"name": "dep-b", "version": "1.0"})
    found = by_pip(tmp_path, broken, other)

    assert found.origin_of(DEP) == NOTHING
    assert isinstance(found.origin_of(Distribution(name="dep-b", version="1.0")), FromIndex)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b'{"install": 7}', b"\xff", b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "no list", "no UTF-8", "deep"],
)
def test_report_that_is_none_tells_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "report"
    file.write_bytes(content)
    found = evidence()

    found.take_pip_report(file)
    file.write_bytes(content)
    found.take_looked_up(file)

    assert found.origin_of(DEP) == NOTHING


@pytest.mark.parametrize("kind", ["pipe", "link", "nothing"])
def test_only_plain_files_are_witnesses(tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").write_text(json.dumps({"install": [entry()]}))
    planted = tmp_path / "planted"
    if kind == "pipe":
        os.mkfifo(planted)  # who opens it waits for ever
    elif kind == "link":
        planted.symlink_to(tmp_path / "real")
    found = evidence()

    found.take_pip_report(planted)
    found.take_looked_up(planted)

    assert found.origin_of(DEP) == NOTHING
    assert (tmp_path / "real").read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        lock(sha256="x"),
        lock().replace("sha256", "md5"),
        lock().replace('"1.0"\ncreated', '"9.0"\ncreated'),
        lock().replace("dep_a-1.0", "dep_b-1.0"),
        lock() + "= not TOML",
    ],
    ids=["no hash", "another hash", "a later PEP", "another's wheel", "no TOML"],
)
def test_lock_that_is_of_no_use_tells_nothing(tmp_path: Path, text: str) -> None:
    assert by_uv(tmp_path, text).origin_of(DEP) == NOTHING


def test_wheel_that_was_built_is_hashed_by_the_operator_whatever_others_say(
    tmp_path: Path,
) -> None:
    found = by_pip(tmp_path, entry(sha256=OTHER))
    built = tmp_path / FILE
    built.write_bytes(b"wheel")

    found.take_built(built, LocalTree(digest="d"))

    origin = found.origin_of(DEP)
    assert isinstance(origin, Built)
    assert origin.wheel.sha256 == hashlib.sha256(b"wheel").hexdigest()


def test_wheel_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"of the operator")
    (tmp_path / FILE).symlink_to(tmp_path / "secret")
    found = evidence()

    found.take_built(tmp_path / FILE, LocalTree(digest="d"))

    assert found.origin_of(DEP) == NOTHING


KEYS = st.sampled_from(
    ["install", "metadata", "name", "version", "download_info", "url", "archive_info", "hashes",
     "sha256", "is_direct"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@DETERMINED
@given(st.fixed_dictionaries({"install": st.lists(JSON | st.just(entry()), max_size=4)}))
def test_no_report_breaks_a_build(tmp_path_factory: pytest.TempPathFactory, report: Any) -> None:
    file = tmp_path_factory.mktemp("report") / "report.json"
    file.write_text(json.dumps(report))
    found = evidence()

    found.take_pip_report(file)

    origin = found.origin_of(DEP)
    assert isinstance(origin, FromIndex) == (entry() in report["install"])
