"""Whole builds by the engine: real uv and pip, real interpreters, real packages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from pathlib import Path

import jsonschema
import pytest

from configbuild.engine import _Run
from configbuild.errors import LauncherError
from configbuild.model import BuildStatus, Step, StepStatus
from configbuild.process import Launcher
from configbuild.receipt import read_receipt
from tests.engine.support import Bench, leftovers
from tests.generated import ROOT
from tests.packages import write_package
from tests.process.support import in_loop
from tests.waits import PATIENCE_S, Gate, process_ended


@pytest.mark.parametrize("installer", ["uv", "pip"])
@in_loop
async def test_six_steps_make_a_verified_venv_with_its_receipt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installer: str
) -> None:
    # For other URLs than those that are asked here.
    monkeypatch.setenv("http_proxy", "http://robot:hunter2@proxy.example:3128")
    bench = await Bench.at(tmp_path)
    attempt = await bench.attempt(install={"installer": installer})
    outcome = await attempt.run()
    assert (outcome.status, outcome.exit_code) == (BuildStatus.ACTIVE, 0), outcome.message
    paths = bench.paths(attempt)
    assert _import_both(paths.python) == "1.0.0"
    receipt = read_receipt(paths.receipt)
    assert receipt is not None
    assert [step["name"] for step in receipt["steps"]] == list(Step)[1:]
    skipped = {"uv": ["skipped"], "pip": ["succeeded"]}[installer]
    assert [step["status"] for step in receipt["steps"]] == [
        *("succeeded", *skipped, "succeeded", "succeeded", "succeeded", "succeeded")
    ]
    assert receipt["environment"]["http_proxy"] == "http://***@proxy.example:3128"
    for step in receipt["steps"]:
        assert all(c["exit_code"] == 0 and c["duration_ms"] >= 0 for c in step["commands"])
        assert bool(step["commands"]) == (step["status"] != "skipped")
    lines = paths.packages.read_text().splitlines()
    assert {"ade-engine==1.0.0", "ade-config==1.0.0"} <= set(lines)
    assert not paths.scratch.exists()


@in_loop
async def test_every_line_of_a_build_fits_the_schema_of_events(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    attempt = await bench.attempt()
    await attempt.run()
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    lines = bench.journals.path(attempt.record.id).read_text().splitlines()
    assert len(lines) > 10
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        validator.validate(event)
        assert event["id"] == number


@in_loop
async def test_bytecode_is_compiled_unless_the_spec_says_otherwise(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    compiled, plain = await bench.attempt(), await bench.attempt(install={"compileBytecode": False})
    await compiled.run()
    await plain.run()
    assert list(bench.paths(compiled).venv.rglob("ade_engine/**/*.pyc"))
    assert not list(bench.paths(plain).venv.rglob("ade_engine/**/*.pyc"))


@in_loop
async def test_failing_step_is_named_with_its_exit_code_and_leaves_nothing(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    write_package(
        bench.sources / "config", "ade-config", while_building='raise SystemExit("a hole in it")'
    )
    attempt = await bench.attempt()
    outcome = await attempt.run()
    assert (outcome.status, outcome.step) == (BuildStatus.FAILED, Step.INSTALL_CONFIG)
    assert outcome.reason == "BuildBackendFailed"
    assert outcome.exit_code == 2
    assert outcome.message is not None
    assert outcome.message.splitlines()[0] == "uv build exited with 2: a hole in it"
    assert leftovers(bench.paths(attempt)) == []
    assert [step.status for step in attempt.record.steps][-1] is StepStatus.FAILED


@pytest.mark.parametrize(
    ("module_source", "said"),
    [
        pytest.param("raise ValueError('rules')", "ValueError: rules", id="import raises"),
        pytest.param("import nowhere", "No module named 'nowhere'", id="dependency is not there"),
    ],
)
@in_loop
async def test_import_that_fails_fails_the_build(
    tmp_path: Path, module_source: str, said: str
) -> None:
    bench = await Bench.at(tmp_path)
    write_package(bench.sources / "config", "ade-config", module_source=module_source)
    attempt = await bench.attempt()
    outcome = await attempt.run()
    assert (outcome.step, outcome.reason) == (Step.VERIFY_IMPORTS, "ImportFailed")
    assert said in str(outcome.message)
    assert leftovers(bench.paths(attempt)) == []


@in_loop
async def test_import_that_is_not_from_inside_the_venv_fails_the_build(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    attempt = await bench.attempt(verify={"imports": ["ade_engine", "json"]})
    outcome = await attempt.run()
    assert outcome.reason == "ImportFailed"
    assert "which is not inside" in str(outcome.message)


@in_loop
async def test_config_that_would_move_the_engine_is_not_installed(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    write_package(bench.sources / "config", "ade-engine", version="9.9.9")
    attempt = await bench.attempt()
    outcome = await attempt.run()
    assert (outcome.step, outcome.status) == (Step.INSTALL_CONFIG, BuildStatus.FAILED)
    assert "ade-engine" in str(outcome.message)


@in_loop
async def test_timeout_ends_the_whole_tree_and_leaves_nothing(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    gate = Gate(tmp_path / "gate")
    write_package(bench.sources / "config", "ade-config", while_building=gate.daemon_and_wait_code)
    attempt = await bench.attempt(timeout="12s")
    running = asyncio.create_task(attempt.run())
    daemon = await asyncio.to_thread(gate.wait_until_reached)
    outcome = await running
    assert process_ended(daemon)
    assert (outcome.status, outcome.reason) == (BuildStatus.FAILED, "Timeout")
    assert "longer than 12.0s (spec.timeout); step install_config" in str(outcome.message)
    assert leftovers(bench.paths(attempt)) == []


@in_loop
async def test_canceled_build_leaves_nothing_and_has_one_end(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    gate = Gate(tmp_path / "gate")
    write_package(bench.sources / "config", "ade-config", while_building=gate.daemon_and_wait_code)
    attempt = await bench.attempt()
    running = asyncio.create_task(attempt.run())
    daemon = await asyncio.to_thread(gate.wait_until_reached)
    attempt.cancel("a test says so", reason="Canceled")
    attempt.cancel("too late", reason="Other")
    outcome = await running
    assert process_ended(daemon)
    assert (outcome.status, outcome.reason) == (BuildStatus.CANCELED, "Canceled")
    assert leftovers(bench.paths(attempt)) == []
    ends = [event for event in bench.events(attempt) if event.body.TYPE == "build.completed"]
    assert len(ends) == 1
    assert ends[0].body.error_message == "a test says so"


@in_loop
async def test_sources_are_copied_while_the_launcher_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying = _hold_up_copying(monkeypatch, until=(starting := threading.Event()))
    start = Launcher.start

    async def start_once_copying() -> Launcher:
        assert await asyncio.to_thread(copying.wait, PATIENCE_S)
        starting.set()
        return await start()

    monkeypatch.setattr(Launcher, "start", start_once_copying)
    bench = await Bench.at(tmp_path)
    outcome = await (await bench.attempt()).run()
    assert outcome.status is BuildStatus.ACTIVE, outcome.message


@in_loop
async def test_launcher_that_does_not_start_leaves_nothing_of_what_was_copied_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    copying = _hold_up_copying(monkeypatch, until=failed)

    async def fail() -> Launcher:
        assert await asyncio.to_thread(copying.wait, PATIENCE_S)
        # Copying goes on after this has raised.
        asyncio.get_running_loop().call_soon(failed.set)
        raise LauncherError("no more processes")

    monkeypatch.setattr(Launcher, "start", fail)
    bench = await Bench.at(tmp_path)
    attempt = await bench.attempt()
    outcome = await attempt.run()
    assert (outcome.status, outcome.reason) == (BuildStatus.FAILED, "LauncherFailed")
    assert leftovers(bench.paths(attempt)) == []


def _hold_up_copying(monkeypatch: pytest.MonkeyPatch, *, until: threading.Event) -> threading.Event:
    """Have the copying of sources wait for an event; gives the one that says that it has begun."""
    begun = threading.Event()
    prepare = _Run.prepare

    def held_up(run: _Run) -> None:
        begun.set()
        assert until.wait(PATIENCE_S)
        prepare(run)

    monkeypatch.setattr(_Run, "prepare", held_up)
    return begun


@in_loop
async def test_tree_that_changes_before_its_build_is_not_built_as_something_else(
    tmp_path: Path,
) -> None:
    bench = await Bench.at(tmp_path)
    attempt = await bench.attempt()
    write_package(bench.sources / "config", "ade-config", module_source="EDITED = 1\n")
    outcome = await attempt.run()
    assert (outcome.status, outcome.reason) == (BuildStatus.FAILED, "SourceChanged")
    assert leftovers(bench.paths(attempt)) == []


@in_loop
async def test_constraint_of_the_spec_bounds_what_is_installed(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    attempt = await bench.attempt(install={"constraints": ["ade-config<1"]})
    outcome = await attempt.run()
    assert outcome.step is Step.INSTALL_CONFIG
    assert "ade-config" in str(outcome.message)


def _import_both(python: Path) -> str:
    code = "import ade_config, ade_engine, importlib.metadata as m; print(m.version('ade-engine'))"
    ran = subprocess.run(
        [python, "-I", "-B", "-c", code], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()
