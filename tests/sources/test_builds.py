"""Whole builds from remote sources, by the engine: real servers, real commands."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from configbuild.events import BuildLog
from configbuild.model import Step, StepStatus
from tests.engine.support import Bench, leftovers
from tests.packages import package_files
from tests.sources.repositories import Repository
from tests.sources.site import Site
from tests.sources.test_archive import FILES, tar_gz


def archive(site: Site, data: bytes, **fields: Any) -> dict[str, Any]:
    site.files["/rules.tar.gz"] = data
    url, sha256 = site.url("/rules.tar.gz"), hashlib.sha256(data).hexdigest()
    return {"archive": {"url": url, "sha256": sha256, "path": "rules-1", **fields}}


@pytest.fixture
def allowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADE_ALLOWED_HOSTS", site.authority)


@pytest.mark.usefixtures("allowed")
def test_archive_is_fetched_first_and_becomes_a_venv(site: Site, tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = await Bench.at(tmp_path)
        data = tar_gz(FILES)
        attempt = await bench.attempt(config=archive(site, data))
        assert site.requests == []  # resolving an archive asks nobody
        outcome = await attempt.run()

        assert outcome.venv is not None, outcome
        first = attempt.record.steps[0]
        assert (first.name, first.status) == (Step.FETCH_CONFIG, StepStatus.SUCCEEDED)
        assert list(bench.paths(attempt).venv.rglob("ade_config/__init__.py"))
        log = [
            event.body.message
            for event in bench.events(attempt)
            if isinstance(event.body, BuildLog)
        ]
        assert log[0] == f"downloading {site.url('/rules.tar.gz')}"
        assert not bench.paths(attempt).scratch.exists()
        lock = tomllib.loads(bench.paths(attempt).lock.read_text())
        (package,) = lock["packages"]
        assert (package["name"], package["archive"]) == (
            "ade-config",
            {
                "url": site.url("/rules.tar.gz"),
                "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
                "subdirectory": "rules-1",
            },
        )

    asyncio.run(scenario())


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_git_is_caged_like_every_command_of_a_build(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: str
) -> None:
    Repository(site.repositories / "rules.git").commit(package_files("ade-config"))
    outside = tmp_path / "outside"
    outside.mkdir()
    program = tmp_path / "git"
    program.write_text(
        f"""#!/bin/sh
for verb in "$@"; do case $verb in version|ls-remote|init|fetch|archive) break; esac; done
(: > {outside}/$verb) 2>&-
exec {shutil.which("git")} "$@"
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("ADE_GIT_BIN", str(program))
    monkeypatch.setenv("ADE_SANDBOX", sandbox)

    async def scenario() -> None:
        bench = await Bench.at(tmp_path)
        git = {"url": site.url("/git/rules.git"), "ref": {"branch": "main"}}
        attempt = await bench.attempt(config={"git": git})
        outcome = await attempt.run()
        assert outcome.venv is not None, bench.output(attempt)

    asyncio.run(scenario())
    verbs = {"version", "ls-remote", "init", "fetch", "archive"}
    assert {file.name for file in outside.iterdir()} == (set() if sandbox == "on" else verbs)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"sha256": "0" * 64}, "ChecksumMismatch"), ({"path": "absent"}, "SourceInvalid")],
    ids=["another checksum", "no such folder"],
)
def test_archive_that_is_not_as_declared_fails_the_build_in_its_first_step(
    site: Site, tmp_path: Path, fields: dict[str, str], reason: str
) -> None:
    async def scenario() -> None:
        bench = await Bench.at(tmp_path)
        attempt = await bench.attempt(config=archive(site, tar_gz(FILES), **fields))
        outcome = await attempt.run()

        assert (outcome.reason, outcome.step) == (reason, Step.FETCH_CONFIG)
        assert [step.name for step in attempt.record.steps] == [Step.FETCH_CONFIG]
        assert leftovers(bench.paths(attempt)) == []

    asyncio.run(scenario())
