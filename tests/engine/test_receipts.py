"""What real builds leave beside the receipt: a lock and a bill of materials, read by their judges.

The lock is judged by `packaging`, the bill by the official schema of CycloneDX, which
cyclonedx-python-lib brings along.
"""

from __future__ import annotations

import ensurepip
import hashlib
import io
import json
import platform
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.pylock import Pylock

from configbuild.builds.attempt import Attempt
from configbuild.model import BuildStatus, Trigger
from configbuild.receipt import read_receipt
from tests.engine.support import Bench
from tests.failures.index import File, Shelf, sdist, self_signed, serve, wheel
from tests.packages import write_package
from tests.process.support import in_loop

INSTALLERS = ("uv", "pip")

CONFIG = wheel("ade-config", "2.0", requires=("dep-a",), module_source="import dep_a\n")
DEPENDENCY = wheel("dep-a", "1.5")


Serve = Callable[..., AbstractAsyncContextManager[tuple[Bench, str]]]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves files as an index that the operator trusts; gives a bench and the index's URL."""

    @asynccontextmanager
    async def serving(*files: File) -> AsyncIterator[tuple[Bench, str]]:
        certificate, key = self_signed(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        with serve(Shelf(files=files), tls=(certificate, key)) as url:
            monkeypatch.setenv("ADE_ALLOWED_HOSTS", urlsplit(url).netloc)
            yield await Bench.at(tmp_path), url

    return serving


def what_pip_upgrades() -> tuple[File, ...]:
    (bundled,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    pip = File(name=bundled.name, content=bundled.read_bytes())
    return pip, wheel("setuptools", "99.0"), wheel("wheel", "99.0")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lock_of(bench: Bench, attempt: Attempt) -> tuple[Pylock, dict[str, Any]]:
    """The lock, parsed and judged; and the operator's own table."""
    document = tomllib.loads(bench.paths(attempt).lock.read_text())
    lock = Pylock.from_dict(document)
    lock.validate()
    return lock, document["tool"]["configbuild"]


def bill_of(bench: Bench, attempt: Attempt) -> dict[str, Any]:
    """The components of the bill, which is judged, by their name."""
    text = bench.paths(attempt).bom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return {component["name"]: component for component in json.loads(text)["components"]}


@pytest.mark.parametrize("installer", INSTALLERS)
@in_loop
async def test_lock_and_bill_have_the_hashes_of_an_index_and_of_what_was_built(
    index: Serve, installer: str
) -> None:
    files = (*what_pip_upgrades(), CONFIG, DEPENDENCY)
    async with index(*files) as (bench, url):
        attempt = await bench.attempt(
            config={"requirement": "ade-config==2.0"},
            install={"installer": installer, "index": {"url": url}},
        )
        outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(bench.output(attempt))
    assert read_receipt(bench.paths(attempt).receipt) is not None
    address = f"{url.removesuffix('/simple')}/files/"

    lock, more = lock_of(bench, attempt)
    wheels = {str(each.name): each.wheels or () for each in lock.packages}
    for file in (CONFIG, DEPENDENCY):
        (found,) = wheels[file.project]
        assert (found.url, found.hashes) == (address + file.name, {"sha256": sha256(file.content)})
    unlocked = {row["name"]: row for row in more["unlocked"]}
    assert "ade-engine" not in wheels
    assert "source tree" in unlocked["ade-engine"]["reason"]
    assert more["complete"] is False

    bill = bill_of(bench, attempt)
    lines = bench.paths(attempt).packages.read_text().splitlines()
    assert [f"{each['name']}=={each['version']}" for each in bill.values()] == lines
    for file in (CONFIG, DEPENDENCY):
        (hashed,) = bill[file.project]["hashes"]
        assert hashed == {"alg": "SHA-256", "content": sha256(file.content)}
        assert bill[file.project]["purl"].startswith(f"pkg:pypi/{file.project}@")
    # The kept wheel of the engine is the one that was installed.
    (kept,) = bench.paths(attempt).kept_wheels.glob("*/ade_engine-*.whl")
    (hashed,) = bill["ade-engine"]["hashes"]
    assert hashed["content"] == unlocked["ade-engine"]["wheel-sha256"] == sha256(kept.read_bytes())
    assert "purl" not in bill["ade-engine"]


@in_loop
async def test_lock_installs_the_same_once_more(tmp_path: Path, index: Serve) -> None:
    files = (CONFIG, DEPENDENCY, wheel("ade-engine", "1.0"))
    async with index(*files) as (bench, url):
        attempt = await bench.attempt(
            engine={"requirement": "ade-engine"},
            config={"requirement": "ade-config"},
            install={"index": {"url": url}},
        )
        await attempt.run()
        _, more = lock_of(bench, attempt)
        assert more == {"build-id": attempt.record.id, "complete": True, "unlocked": []}
        uv = str(attempt.request.tools.uv)
        target = tmp_path / "again"
        lock = tmp_path / "pylock.toml"
        lock.write_bytes(bench.paths(attempt).lock.read_bytes())
        _run(uv, "venv", "-q", str(target))
        _run(uv, "pip", "sync", "-q", "--no-cache", "--python", str(target), str(lock))
        same = _run(uv, "pip", "freeze", "--python", str(target)).split()
        assert same == bench.paths(attempt).packages.read_text().split()

        lock.write_text(lock.read_text().replace(sha256(DEPENDENCY.content), "0" * 64))
        with pytest.raises(subprocess.CalledProcessError) as caught:
            _run(uv, "pip", "sync", "--no-cache", "--reinstall", "--python", str(target), str(lock))
    assert "Hash mismatch" in caught.value.stderr


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout


@in_loop
async def test_wheel_that_was_chosen_among_several_is_the_one_that_is_named(
    tmp_path: Path, index: Serve
) -> None:
    minor = f"{sys.version_info.major}{sys.version_info.minor}"
    best = wheel("dep-a", "1.5", tag=f"cp{minor}-cp{minor}-linux_{platform.machine()}")
    async with index(CONFIG, DEPENDENCY, best) as (bench, url):
        attempt = await bench.attempt(
            config={"requirement": "ade-config"}, install={"index": {"url": url}}
        )
        outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, outcome.message
    (hashed,) = bill_of(bench, attempt)["dep-a"]["hashes"]
    assert hashed["content"] == sha256(best.content) != sha256(DEPENDENCY.content)


@pytest.mark.parametrize("installer", INSTALLERS)
@in_loop
async def test_what_was_built_from_a_source_distribution_has_no_hash_of_the_index_and_others_have(
    index: Serve, installer: str
) -> None:
    config = wheel("ade-config", "2.0", requires=("dep-a", "dep-s"))
    source = sdist("dep-s", "1.0")
    async with index(*what_pip_upgrades(), config, DEPENDENCY, source) as (bench, url):
        attempt = await bench.attempt(
            config={"requirement": "ade-config"},
            install={"installer": installer, "index": {"url": url}},
        )
        outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(bench.output(attempt))
    bill = bill_of(bench, attempt)
    assert bill["dep-a"]["hashes"] == [{"alg": "SHA-256", "content": sha256(DEPENDENCY.content)}]
    assert sha256(source.content) not in json.dumps(bill["dep-s"])
    lock, more = lock_of(bench, attempt)
    assert "dep-s" not in [each.name for each in lock.packages]
    assert "dep-s" in [row["name"] for row in more["unlocked"]]


@pytest.mark.parametrize("installer", INSTALLERS)
@in_loop
async def test_wheels_of_a_wheelhouse_are_locked_by_their_path(
    tmp_path: Path, installer: str
) -> None:
    bench = await Bench.at(tmp_path)
    house = tmp_path / "house"
    house.mkdir()
    for file in (*what_pip_upgrades(), CONFIG, DEPENDENCY):
        (house / file.name).write_bytes(file.content)
    attempt = await bench.attempt(
        config={"requirement": "ade-config"}, install={"installer": installer}
    )
    tools = replace(attempt.request.tools, wheelhouse=house)
    attempt.request = replace(attempt.request, tools=tools)
    outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(bench.output(attempt))
    lock, _ = lock_of(bench, attempt)
    wheels = {str(each.name): each.wheels or () for each in lock.packages}
    (found,) = wheels["dep-a"]
    assert found.path == str(house / DEPENDENCY.name)
    assert found.hashes == {"sha256": sha256(DEPENDENCY.content)}
    bill_of(bench, attempt)


@in_loop
async def test_package_that_forges_its_origin_loses_its_hash_and_no_other(
    tmp_path: Path, index: Serve
) -> None:
    liar = _with(DEPENDENCY, "dep_a-1.5.dist-info/direct_url.json", FORGED)
    async with index(CONFIG, liar) as (bench, url):
        attempt = await bench.attempt(
            config={"requirement": "ade-config"}, install={"index": {"url": url}}
        )
        outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, outcome.message
    bill = bill_of(bench, attempt)
    assert bill["ade-config"]["hashes"][0]["content"] == sha256(CONFIG.content)
    assert "hashes" not in bill["dep-a"]
    for file in (bench.paths(attempt).lock, bench.paths(attempt).bom):
        assert "good.example" not in file.read_text()


FORGED = json.dumps(
    {"url": "https://good.example/x.whl", "archive_info": {"hashes": {"sha256": "1" * 64}}}
)


def _with(file: File, path: str, text: str) -> File:
    content = io.BytesIO(file.content)
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(zipfile.ZipInfo(path), text)
    return File(name=file.name, content=content.getvalue())


@in_loop
async def test_equal_builds_have_equal_locks(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    locks = []
    for _ in range(2):
        attempt = await bench.attempt(trigger=Trigger.SPEC_CHANGED)
        await attempt.run()
        text = bench.paths(attempt).lock.read_text()
        locks.append(text.replace(attempt.record.id, "ID"))
        assert attempt.record.id in text
    assert locks[0] == locks[1]


@in_loop
async def test_hostile_metadata_is_told_in_one_short_line(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    tree = write_package(bench.sources / "config", "ade-config")
    backend = (tree / "backend.py").read_text()
    hostile = '"Version: " + VERSION, "Summary: " + "\\x1b[31m\\u202e" + "x" * 100_000'
    assert backend.count('"Version: " + VERSION') == 1
    (tree / "backend.py").write_text(backend.replace('"Version: " + VERSION', hostile))
    attempt = await bench.attempt()
    outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, outcome.message
    said = bill_of(bench, attempt)["ade-config"]["description"]
    assert said.startswith("[31m xxx")
    assert len(said) <= 512
