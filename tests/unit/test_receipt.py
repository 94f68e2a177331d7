"""What is read of a venv's files, and the receipt that says it was verified."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from configbuild.errors import StepError
from configbuild.files import write_whole
from configbuild.receipt import (
    SCHEMA,
    EngineFacts,
    installed,
    read_receipt,
    wheel_name,
    write_receipt,
)
from tests.unit.examples import paths

RECORD = "ade_engine/__init__.py,sha256=x,0\nade_engine-1.4.0.dist-info/RECORD,,\n"


def install(site_packages: Path, name: str, version: str, record: str = RECORD) -> Path:
    folder = site_packages / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "RECORD").write_text(record)
    return folder


def test_engine_is_read_from_its_files(tmp_path: Path) -> None:
    install(tmp_path, "other", "2.0")
    install(tmp_path, "ade-engine", "1.4.0")

    assert installed(tmp_path, "ade-engine") == EngineFacts(
        name="ade-engine",
        version="1.4.0",
        record_sha256=hashlib.sha256(RECORD.encode()).hexdigest(),
    )


@pytest.mark.parametrize("name", ["ade-engine", "Ade.Engine", "ade_engine", "ADE--ENGINE"])
def test_engine_is_found_by_any_spelling_of_its_name(tmp_path: Path, name: str) -> None:
    install(tmp_path, "Ade_Engine", "1.4.0")

    assert installed(tmp_path, name).name == "ade-engine"


def test_other_record_of_the_same_version_is_told(tmp_path: Path) -> None:
    install(tmp_path / "one", "ade-engine", "1.4.0")
    install(tmp_path / "other", "ade-engine", "1.4.0", record="other")

    one, other = (installed(tmp_path / each, "ade-engine") for each in ("one", "other"))

    assert one.record_sha256 != other.record_sha256


@pytest.mark.parametrize("file", ["METADATA", "RECORD"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_nothing_is_read_that_code_of_packages_has_put_in_a_file_s_place(
    tmp_path: Path, file: str, kind: str
) -> None:
    planted = install(tmp_path / "venv", "ade-engine", "1.4.0") / file
    elsewhere = planted.rename(tmp_path / "elsewhere")
    if kind == "pipe":
        os.mkfifo(planted)  # who opens it waits for ever
    else:
        planted.symlink_to(elsewhere)

    with pytest.raises(StepError, match="no folder of plain files"):
        installed(tmp_path / "venv", "ade-engine")


def test_linked_folder_of_a_distribution_is_not_read(tmp_path: Path) -> None:
    folder = install(tmp_path / "elsewhere", "ade-engine", "1.4.0")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / folder.name).symlink_to(folder)

    with pytest.raises(StepError, match="no folder of plain files"):
        installed(tmp_path / "venv", "ade-engine")


def test_engine_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    install(tmp_path, "ade-engine-extras", "1.4.0")

    with pytest.raises(StepError, match="ade-engine is not installed") as caught:
        installed(tmp_path, "ade-engine")

    assert caught.value.reason == "EngineNotInstalled"


def test_broken_neighbours_do_not_hide_the_engine(tmp_path: Path) -> None:
    (tmp_path / "aaa-1.0.dist-info").mkdir()
    (tmp_path / "bbb-1.0.dist-info").mkdir()
    (tmp_path / "bbb-1.0.dist-info" / "METADATA").write_text("Version: 1.0\n")
    install(tmp_path, "ade-engine", "1.4.0")

    assert installed(tmp_path, "ade-engine").version == "1.4.0"


def test_engine_is_held_by_an_exact_version() -> None:
    facts = EngineFacts(name="ade-engine", version="1.4.0+local", record_sha256="")

    assert facts.as_constraint() == "ade-engine==1.4.0+local\n"


@pytest.mark.parametrize(
    ("wheel", "name"),
    [
        ("ade_engine-1.4.0-py3-none-any.whl", "ade-engine"),
        ("Ade.Engine-1.4.0-1-cp312-cp312-manylinux_2_17_x86_64.whl", "ade-engine"),
    ],
)
def test_wheel_tells_its_distribution_by_its_name(wheel: str, name: str) -> None:
    assert wheel_name(Path("/wheels") / wheel) == name


def test_receipt_and_packages_are_written_into_the_venv(tmp_path: Path) -> None:
    places = paths(tmp_path)
    places.venv.mkdir(parents=True)
    receipt = {"schema": SCHEMA, "build_id": "ä"}

    packages = ["ade-engine==1.4.0", "openpyxl==3.1.5"]
    write_receipt(places, receipt, packages, lock="lock\n", bom="{}\n")

    assert read_receipt(places.receipt) == receipt
    assert places.packages.read_text() == "ade-engine==1.4.0\nopenpyxl==3.1.5\n"
    assert places.lock.read_text() == "lock\n"
    assert places.bom.read_text() == "{}\n"
    assert sorted(path.name for path in places.runtime.iterdir()) == [
        "build.json",
        "packages.txt",
        "pylock.toml",
        "sbom.cdx.json",
    ]
    assert places.receipt == places.venv / "ade-runtime" / "build.json"


def test_receipt_that_a_package_brought_along_is_never_taken_for_ours(tmp_path: Path) -> None:
    places = paths(tmp_path)
    places.runtime.mkdir(parents=True)

    with pytest.raises(FileExistsError):
        write_receipt(places, {"schema": SCHEMA}, [], lock="", bom="")

    assert read_receipt(places.receipt) is None


@pytest.mark.parametrize("fails", ["packages", "lock", "bom"])
def test_receipt_is_the_last_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    places = paths(tmp_path)
    places.venv.mkdir(parents=True)

    def full(path: Path, text: str) -> None:
        if path == getattr(places, fails):
            raise OSError(errno.ENOSPC, "no space left")
        write_whole(path, text)

    monkeypatch.setattr("configbuild.receipt.write_whole", full)
    with pytest.raises(OSError, match="no space left"):
        write_receipt(places, {"schema": SCHEMA}, [], lock="", bom="")

    assert not places.receipt.exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"schema": 1, "build', id="cut off"),
        pytest.param(b'{"schema": 1\xff}', id="not UTF-8"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="no schema"),
        pytest.param(b'{"schema": 2}', id="a later schema"),
    ],
)
def test_what_is_not_a_whole_receipt_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "build.json").write_bytes(content)

    assert read_receipt(tmp_path / "build.json") is None


def test_receipt_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_receipt(tmp_path / "build.json") is None
