"""Whole builds that fail: what their authors are told, by the engine and real tools."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from configbuild.model import BuildStatus, Step
from configbuild.outcome import Outcome
from configbuild.sources.hosts import HostRules
from configbuild.urls import parse_patterns
from tests.engine.support import Bench
from tests.failures.index import File, Shelf, self_signed, serve, wheel
from tests.packages import write_package
from tests.process.support import in_loop

CONFIG = wheel("ade-config", "1.0")
COMPILE = """\
import subprocess
subprocess.run(["gcc", "-xc", "-", "-c", "-o", "/dev/null"], input=b"#include <xyz/nowhere.h>\\n",
               check=True)"""


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate that the operator trusts, by the variable that clusters use; and its key."""
    certificate, key = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return certificate, key


async def build(bench: Bench, shelf: Shelf, tls: tuple[Path, Path], requirement: str) -> Outcome:
    with serve(shelf, tls=tls) as url:
        # Which is not public, so the administrator has to name it.
        hosts = HostRules(allowed=parse_patterns(urlsplit(url).netloc))
        reader = replace(bench.reader, resolver=replace(bench.reader.resolver, hosts=hosts))
        attempt = await replace(bench, reader=reader).attempt(
            config={"requirement": requirement}, install={"index": {"url": url}}
        )
        return await attempt.run()


def told(outcome: Outcome) -> str:
    assert outcome.status is BuildStatus.FAILED
    assert outcome.message is not None
    assert outcome.hint is not None
    assert outcome.event().hint == outcome.hint
    return outcome.message.splitlines()[0]


@in_loop
async def test_version_that_the_index_has_not_is_told(
    tmp_path: Path, trusted: tuple[Path, Path]
) -> None:
    bench = await Bench.at(tmp_path)
    outcome = await build(bench, Shelf(files=(CONFIG,)), trusted, "ade-config==9.9")
    assert (outcome.reason, outcome.step) == ("NoMatchingDistribution", Step.INSTALL_CONFIG)
    assert "no version of ade-config==9.9" in told(outcome)
    assert "spec.config" in str(outcome.hint)


@in_loop
async def test_python_that_is_too_old_is_told(tmp_path: Path, trusted: tuple[Path, Path]) -> None:
    bench = await Bench.at(tmp_path)
    newer = wheel("ade-config", "1.0", requires_python=">=3.99")
    outcome = await build(bench, Shelf(files=(newer,)), trusted, "ade-config")
    assert (outcome.reason, outcome.step) == ("RequiresPython", Step.INSTALL_CONFIG)
    assert "Python>=3.99" in told(outcome)
    assert "set spec.python to a version that fits >=3.99" in str(outcome.hint)


@in_loop
async def test_hash_that_does_not_match_is_told(tmp_path: Path, trusted: tuple[Path, Path]) -> None:
    bench = await Bench.at(tmp_path)
    lying = File(name=CONFIG.name, content=CONFIG.content, digest="0" * 64)
    outcome = await build(bench, Shelf(files=(lying,)), trusted, "ade-config")
    assert (outcome.reason, outcome.step) == ("HashMismatch", Step.INSTALL_CONFIG)
    assert "Hash mismatch for `ade-config==1.0`" in told(outcome)
    assert "spec.install.index.url" in str(outcome.hint)


@in_loop
async def test_config_that_wants_another_engine_is_told(
    tmp_path: Path, trusted: tuple[Path, Path]
) -> None:
    bench = await Bench.at(tmp_path)
    files = (wheel("ade-config", "1.0", requires=("ade-engine>=2",)), wheel("ade-engine", "2.0"))
    outcome = await build(bench, Shelf(files=files), trusted, "ade-config")
    assert (outcome.reason, outcome.step) == ("EngineConflict", Step.INSTALL_CONFIG)
    assert "ade-engine>=2" in told(outcome)
    assert "spec.engine" in str(outcome.hint)


@pytest.mark.parametrize("installer", ["uv", "pip"])
@in_loop
async def test_back_end_that_raises_is_told(tmp_path: Path, installer: str) -> None:
    bench = await Bench.at(tmp_path)
    code = 'raise ValueError("rule 7 has no name")'
    write_package(bench.sources / "config", "ade-config", while_building=code)
    attempt = await bench.attempt(install={"installer": installer})
    outcome = await attempt.run()
    assert (outcome.reason, outcome.step) == ("BuildBackendFailed", Step.INSTALL_CONFIG)
    assert told(outcome).endswith(": ValueError: rule 7 has no name")
    assert "spec.config" in str(outcome.hint)


@in_loop
async def test_header_that_is_missing_is_told(tmp_path: Path) -> None:
    if not shutil.which("gcc", path="/usr/bin:/bin") and "CI" not in os.environ:
        pytest.skip("no C compiler here; in CI there has to be one")
    bench = await Bench.at(tmp_path)
    write_package(bench.sources / "config", "ade-config", while_building=COMPILE)
    outcome = await (await bench.attempt()).run()
    assert (outcome.reason, outcome.step) == ("MissingSystemLibrary", Step.INSTALL_CONFIG)
    assert "fatal error: xyz/nowhere.h: No such file or directory" in told(outcome)
    assert "the header xyz/nowhere.h is missing" in str(outcome.hint)


@in_loop
async def test_error_far_before_the_end_of_the_output_is_told(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    code = """\
print("x.c:1:10: fatal error: xyz.h: No such file or directory", flush=True)
for number in range(5000):
    print("compiling", number)
raise SystemExit(1)"""
    write_package(bench.sources / "config", "ade-config", while_building=code)
    outcome = await (await bench.attempt()).run()
    assert outcome.reason == "MissingSystemLibrary"
    assert "xyz.h" in told(outcome)


@in_loop
async def test_import_that_raises_is_told_with_its_place(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    write_package(bench.sources / "config", "ade-config", module_source="\nraise ValueError('7')\n")
    outcome = await (await bench.attempt()).run()
    assert (outcome.reason, outcome.step) == ("ImportFailed", Step.VERIFY_IMPORTS)
    assert "ValueError: 7 (ade_config/__init__.py, line 2)" in told(outcome)


@in_loop
async def test_timeout_names_the_field_to_change(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    code = "import signal; signal.pause()"
    write_package(bench.sources / "config", "ade-config", while_building=code)
    outcome = await (await bench.attempt(timeout="12s")).run()
    assert outcome.reason == "Timeout"
    assert "spec.timeout" in str(outcome.hint)
    assert "step install_config was running" in told(outcome)
