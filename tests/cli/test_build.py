"""``configbuild build`` makes, reuses and remakes a build; the sample with real uv and index."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import (
    MANIFEST,
    SAMPLES,
    STEPS,
    Bench,
    Ended,
    environment,
    events,
    quick_bench,
    sample_bench,
)

# In a sitecustomize.py of its own this writes down every process that a Python starts.
AUDIT = """
import os, sys

def note(event, args):
    if event in ("subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"):
        with open(os.environ["AUDIT_FILE"], "a") as file:
            print(event, args[:2], file=file)

sys.addaudithook(note)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The sample's workdir after its first build, which was asked for as NDJSON."""

    bench: Bench
    first: Ended
    audit: dict[str, object]

    def run(self, *arguments: object, **options: Any) -> Ended:
        return self.bench.run("--sources", SAMPLES / "sources", *arguments, **options)

    def subprocesses(self) -> list[str]:
        return Path(str(self.audit["AUDIT_FILE"])).read_text().splitlines()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    directory = tmp_path_factory.mktemp("sample")
    (directory / "audit").mkdir()
    (directory / "audit" / "sitecustomize.py").write_text(AUDIT)
    path = f"{directory / 'audit'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    audit = {"PYTHONPATH": path, "AUDIT_FILE": directory / "audit.txt"}
    bench = sample_bench(directory)
    first = bench.run("--sources", SAMPLES / "sources", "-o", "ndjson", env=audit)
    assert first.code == 0, first
    return Sample(bench=bench, first=first, audit=audit)


def test_ndjson_is_the_journal_and_nothing_else(sample: Sample) -> None:
    told = events(sample.first.stdout)
    build_id = told[0]["build_id"]
    journal = sample.bench.workdir / "logs/default/invoices" / f"{build_id[6:].lower()}.ndjson"
    assert sample.first.stdout == journal.read_bytes()
    assert [event["id"] for event in told] == list(range(1, len(told) + 1))
    assert (told[0]["type"], told[0]["trigger"]) == ("build.created", "Initial")
    assert (told[-1]["type"], told[-1]["status"]) == ("build.completed", "active")
    steps = [event for event in told if event["type"] == "build.step"]
    ended = {event["step"]: event["status"] for event in steps if event["status"] != "running"}
    assert ended == dict.fromkeys(STEPS, "succeeded") | {"upgrade_pip": "skipped"}
    assert sample.first.errors == "Building default/invoices: no verified build yet\n"


def test_unchanged_config_is_reused_without_any_subprocess(sample: Sample) -> None:
    before = sample.subprocesses()
    assert any("launcher.py" in line for line in before)  # the build itself was seen
    known = [*sample.bench.venvs, *sample.bench.journals]

    again = sample.run(env=sample.audit)

    assert again.code == 0
    assert again.lines[0].startswith("Reused existing build build_")
    assert Path(again.row("venv")) in sample.bench.venvs
    assert sample.subprocesses() == before
    assert [*sample.bench.venvs, *sample.bench.journals] == known


def test_reused_build_is_streamed_again_and_says_so(sample: Sample) -> None:
    again = sample.run("-o", "ndjson")
    told, first = events(again.stdout), events(sample.first.stdout)
    assert again.code == 0
    assert told[-1]["summary"] == "Reused existing build"
    if told[0]["build_id"] == first[0]["build_id"]:
        assert told[:-1] == first[:-1]
    assert again.errors == f"Reused existing build {told[0]['build_id']}\n"


def test_built_venv_runs_as_the_summary_says(sample: Sample, tmp_path: Path) -> None:
    said = sample.run()
    data, out = SAMPLES / "data" / "invoices.xlsx", tmp_path / "out.jsonl"
    ran = subprocess.run(
        [*said.row("run").split(), "run", "--input", data, "--output", out, "--format", "jsonl"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(out.read_text().splitlines()) == 34
    receipt = json.loads((Path(said.row("venv")) / "ade-runtime" / "build.json").read_text())
    assert said.row("packages") == str(len(receipt["packages"]))
    assert said.row("engine") == "ade-engine 1.4.0"
    assert said.row("python") == receipt["python"]["version"]
    assert Path(said.row("journal")).read_bytes()


def test_force_builds_although_nothing_changed(sample: Sample) -> None:
    before = sample.bench.venvs
    done = sample.run("--force", "-o", "ndjson")
    assert done.code == 0
    assert events(done.stdout)[0]["trigger"] == "Forced"
    assert len(set(sample.bench.venvs) - set(before)) == 1


def test_edit_of_a_config_map_key_rebuilds_and_says_that_config_changed(sample: Sample) -> None:
    original = sample.bench.file.read_text()
    assert "DAYS_TO_PAY = 30" in original
    edited = original.replace("DAYS_TO_PAY = 30", "DAYS_TO_PAY = 14")
    done = sample.run("-f", "-", content=edited)
    assert done.code == 0, done
    assert done.lines[0].startswith("Building default/invoices: changed since build_")
    assert done.lines[0].endswith(": config")
    assert "SourceChanged" in done.lines[1]
    hooks = next(Path(done.row("venv")).glob("lib/*/site-packages/ade_config/hooks.py"))
    assert "DAYS_TO_PAY = 14" in hooks.read_text()
    # What was built before is still there, and is what is declared once the edit is taken back.
    assert sample.run().lines[0].startswith("Reused existing build")


def test_failing_install_ends_with_1_and_its_last_lines(tmp_path: Path) -> None:
    bench = sample_bench(tmp_path)
    bench.file.write_text(MANIFEST.replace("ade-engine==1.4.0", "no-such-package-of-ours==1.0"))
    done = bench.run()
    assert done.code == 1
    assert "Build failed in step install_engine (NoMatchingDistribution), exit code 1" in done.lines
    told = "uv pip install exited with 1: Because no-such-package-of-ours was not found"
    (at,) = [number for number, line in enumerate(done.lines) if line.startswith(told)]
    assert "no-such-package-of-ours" in "".join(done.lines[at + 1 :])
    assert [line for line in done.lines if line.startswith("hint: the index has no no-such-")]
    assert done.row("journal") == str(bench.journals[0])
    assert not bench.venvs


def test_every_build_says_why_it_is_made(tmp_path: Path) -> None:
    bench = quick_bench(tmp_path)

    def build(words: str, trigger: str) -> str:
        done = bench.run()
        assert done.code == 0, done
        build_id, _, rest = done.lines[1].partition(" ")
        assert done.lines[0] == f"Building default/invoices: {words}"
        assert rest == f"of default/invoices: {trigger}"
        return build_id

    first = build("no verified build yet", "Initial")
    bench.file.write_text(MANIFEST + "  verify: {imports: [ade_config]}\n  timeout: 1m\n")
    second = build(f"changed since {first}: verify", "SpecChanged")

    bench.file.write_text(bench.file.read_text() + "  ttl: 1h\n")
    assert bench.run().lines[0] == f"Reused existing build {second}"
    receipt = bench.venvs[-1] / "ade-runtime" / "build.json"
    data = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(data | {"verified": "2020-01-01T00:00:00.000000Z"}))
    third = build(f"{second} is older than spec.ttl (1h00m)", "Expired")

    (bench.venvs[-1] / "bin" / "python").unlink()
    build(f"{third} has lost its interpreter or its journal", "Missing")


def test_earlier_builds_are_kept_up_to_the_history_limit(tmp_path: Path) -> None:
    bench = quick_bench(tmp_path, MANIFEST + "  history: {limit: 1}\n")
    for _ in range(3):
        assert bench.run("--force").code == 0
    newest = bench.venvs[-1]
    assert len(bench.venvs) == len(bench.journals) == 2
    bench.file.write_text(bench.file.read_text().replace("ade-config==2.1", "broken==1"))
    for _ in range(3):
        assert bench.run().code == 1
    # Those that failed crowd out no venv, and are not kept for ever either.
    assert bench.venvs[-1] == newest
    assert (len(bench.venvs), len(bench.journals)) == (2, 4)


def test_default_workdir_and_sources(tmp_path: Path) -> None:
    bench = quick_bench(tmp_path)
    command = bench.argv()
    at = command.index("--workdir")
    ran = subprocess.run(
        [*command[:at], *command[at + 2 :]],
        env=environment({**bench.settings, "XDG_CACHE_HOME": tmp_path / "cache"}),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert f"venv: {tmp_path}/cache/configbuild/local/venvs/default/invoices/" in ran.stdout
    # Paths begin at FILE's folder.
    bench.file.write_text(MANIFEST.replace("{requirement: ade-config==2.1}", "{path: rules}"))
    assert f"no folder 'rules' below {tmp_path} " in bench.run().errors
