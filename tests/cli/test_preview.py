"""``configbuild build --explain`` says what would be done, and does nothing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.support import MANIFEST, SAMPLES, Bench, quick_bench, sample_bench
from tests.cli.test_build import AUDIT

SOURCES = ("--sources", SAMPLES / "sources")
HASH = "[0-9a-f]{12}"


def tree(bench: Bench) -> list[tuple[str, int]]:
    """All that lies in the working directory, and when it was last changed."""
    found = bench.workdir.rglob("*")
    return sorted((str(path), path.lstat().st_mtime_ns) for path in found)


def explain(bench: Bench, *arguments: object, content: str = "") -> list[str]:
    before = tree(bench)
    done = bench.run(*arguments, "--explain", content=content)
    assert (done.code, done.errors) == (0, ""), done
    assert tree(bench) == before
    assert max(map(len, done.lines)) <= 80
    return done.lines


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The sample, built."""
    bench = sample_bench(tmp_path_factory.mktemp("sample"))
    assert bench.run(*SOURCES).code == 0
    return bench


def test_nothing_is_written_where_nothing_was_built(tmp_path: Path) -> None:
    bench = sample_bench(tmp_path)
    assert explain(bench, *SOURCES) == [
        "default/invoices: would be built (Initial)",
        "why:     no verified build yet",
    ]
    assert not bench.workdir.exists()


def test_unchanged_sample_would_be_reused_without_any_subprocess(
    sample: Bench, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AUDIT)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    log = tmp_path / "audit.txt"
    log.touch()
    audited = Bench(directory=sample.directory, settings={"PYTHONPATH": path, "AUDIT_FILE": log})
    lines = explain(audited, *SOURCES)
    assert lines[:2] == [
        "default/invoices: would be reused",
        "why:     verified, and no input has changed since",
    ]
    assert re.fullmatch("build:   build_[0-9A-Z]{26}", lines[2])
    assert lines[3].endswith(", ade-engine 1.4.0")
    assert lines[4].endswith(" ago), no ttl")
    assert log.read_text() == ""
    # The same audit sees what a build starts.
    assert audited.run(*SOURCES, "--force").code == 0
    assert log.read_text()


def test_edit_of_the_sample_would_be_built_and_its_inputs_are_told(sample: Bench) -> None:
    original = sample.file.read_text()
    assert "DAYS_TO_PAY = 30" in original
    edited = original.replace("DAYS_TO_PAY = 30", "DAYS_TO_PAY = 14")
    title, why, change = explain(sample, *SOURCES, "-f", "-", content=edited)
    assert title == "default/invoices: would be built (SourceChanged)"
    assert re.fullmatch("why:     changed since build_[0-9A-Z]{26}: config", why)
    found = re.fullmatch(f"         config: ({HASH}) → ({HASH})", change)
    assert found is not None
    receipt = json.loads((sample.venvs[-1] / "ade-runtime" / "build.json").read_text())
    assert found[1] == receipt["fingerprint"]["inputs"]["config"]
    assert found[2] != found[1]


def test_each_cause_is_told_before_it_is_acted_on(tmp_path: Path) -> None:
    bench = quick_bench(tmp_path)
    assert bench.run().code == 0
    assert explain(bench, "--force") == [
        "default/invoices: would be built (Forced)",
        "why:     asked for with --force",
    ]
    bench.file.write_text(MANIFEST + "  verify: {imports: [ade_config]}\n")
    title, _, change = explain(bench)
    assert title == "default/invoices: would be built (SpecChanged)"
    assert re.fullmatch(f"         verify: {HASH} → {HASH}", change)

    bench.file.write_text(MANIFEST + "  ttl: 1h\n")
    assert explain(bench)[-1].startswith("         expires ")
    receipt = bench.venvs[-1] / "ade-runtime" / "build.json"
    data = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(data | {"verified": "2020-01-01T00:00:00.000000Z"}))
    assert explain(bench)[0] == "default/invoices: would be built (Expired)"

    bench.file.write_text(MANIFEST)
    (bench.venvs[-1] / "bin" / "python").unlink()
    assert explain(bench)[0] == "default/invoices: would be built (Missing)"

    bench.file.write_text(MANIFEST + "  suspend: true\n")
    assert explain(bench)[0] == "default/invoices: would not be built"


def test_what_cannot_be_explained_ends_with_2(tmp_path: Path) -> None:
    bench = quick_bench(tmp_path)
    ndjson = bench.run("--explain", "-o", "ndjson")
    assert (ndjson.code, ndjson.text) == (2, "")
    assert "--explain builds nothing" in ndjson.errors
    bench.file.write_text(MANIFEST.replace("{requirement: ade-config==2.1}", "{path: rules}"))
    missing = bench.run("--explain")
    assert (missing.code, missing.text) == (2, "")
    assert "there is no folder 'rules'" in missing.errors
