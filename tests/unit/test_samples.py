"""The samples say what they do: their two forms agree, and they really run.

The engine and the configs are installed from copies of their source trees (a build back end writes
into the tree that it builds) by the uv that the project depends on.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from uv import find_uv_bin

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"

DUMP_CELLS = """
import json, sys
from openpyxl import load_workbook
book = load_workbook(sys.argv[1])
print(json.dumps({sheet.title: list(sheet.values) for sheet in book}, default=repr))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Venv:
    """A venv that holds the engine and one config package."""

    python: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        argv = [self.python, "-I", "-B", "-W", "error", *arguments]
        return subprocess.run(argv, capture_output=True, encoding="utf-8", check=False)

    def engine(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "ade_engine", "run", "--input", *arguments)


@pytest.fixture(scope="module")
def invoices(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    directory = tmp_path_factory.mktemp("invoices")
    tree = directory / "config"
    data = config_map_of_kustomization()["data"]
    spec = document("invoices.yaml", "ConfigBuild")["spec"]
    for item in spec["config"]["configMap"]["items"]:
        file = tree / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]], encoding="utf-8")
    return build(directory, tree)


@pytest.fixture(scope="module")
def timesheets(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    directory = tmp_path_factory.mktemp("timesheets")
    spec = document("timesheets.yaml", "ConfigBuild")["spec"]
    tree = directory / "config"
    shutil.copytree(SAMPLES / "sources" / spec["config"]["path"], tree)
    return build(directory, tree)


def build(directory: Path, config: Path) -> Venv:
    engine = directory / "engine"
    shutil.copytree(SAMPLES / "sources" / "engine", engine)
    venv = directory / "venv"
    python = venv / "bin" / "python"
    uv(["venv", venv])
    uv(["pip", "install", "--python", python, engine, config])
    return Venv(python=python)


def uv(arguments: list[str | Path]) -> None:
    argv = [find_uv_bin(), "--no-config", *arguments]
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


def document(file: str, kind: str) -> dict[str, Any]:
    """The one document of that kind in one of the samples' files."""
    text = (SAMPLES / file).read_text(encoding="utf-8")
    (found,) = [each for each in yaml.safe_load_all(text) if each["kind"] == kind]
    assert isinstance(found, dict)
    return found


def config_map_of_kustomization() -> dict[str, Any]:
    """What kustomize makes of the one configMapGenerator, which is simple enough to do here."""
    kustomization = yaml.safe_load((SAMPLES / "kustomization.yaml").read_text(encoding="utf-8"))
    (generator,) = kustomization["configMapGenerator"]
    assert set(generator) == {"name", "files"}
    files = [SAMPLES / file for file in generator["files"]]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": {file.name: file.read_text(encoding="utf-8") for file in files},
    }


def test_local_file_holds_the_config_map_that_kustomize_makes() -> None:
    assert document("local.yaml", "ConfigMap") == config_map_of_kustomization()


def test_local_file_holds_the_config_build_of_the_cluster() -> None:
    assert document("local.yaml", "ConfigBuild") == document("invoices.yaml", "ConfigBuild")


def test_every_key_of_the_config_map_has_its_place_in_the_tree() -> None:
    source = document("invoices.yaml", "ConfigBuild")["spec"]["config"]["configMap"]
    config_map = config_map_of_kustomization()
    assert source["name"] == config_map["metadata"]["name"]
    assert {item["key"] for item in source["items"]} == set(config_map["data"])


def test_make_data_reproduces_the_spreadsheets(invoices: Venv, tmp_path: Path) -> None:
    made = invoices.run(SAMPLES / "data" / "make_data.py", tmp_path)
    assert made.returncode == 0, made.stderr
    names = sorted(file.name for file in (SAMPLES / "data").glob("*.xlsx"))
    assert names == ["invoices.xlsx", "timesheets.xlsx"]
    for name in names:
        assert cells(invoices, tmp_path / name) == cells(invoices, SAMPLES / "data" / name)


def cells(venv: Venv, file: Path) -> Any:
    dumped = venv.run("-c", DUMP_CELLS, file)
    assert dumped.returncode == 0, dumped.stderr
    return json.loads(dumped.stdout)


def test_invoices_are_normalised_to_csv(invoices: Venv, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    done = invoices.engine(SAMPLES / "data" / "invoices.xlsx", "--output", output)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "Invoices: 36 rows in invoices.xlsx, 34 written, 2 with problems\n"
        "  row 17: gross: 1978.68 is not net 1654.35 plus tax 314.33\n"
        '  row 30: net: "1.2O4,50" is not a number\n'
    )
    with output.open(encoding="utf-8", newline="") as stream:
        rows = {row["invoice_number"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 34
    assert rows["INV-2026-0004"] == {
        "invoice_number": "INV-2026-0004",
        "invoice_date": "2026-01-11",
        "due_date": "2026-02-10",  # by the hook: 30 days
        "supplier": "Dorn Elektro",
        "vat_id": "DE298765432",  # by the hook: upper case
        "currency": "EUR",  # from "Euro"
        "net": "419.85",
        "tax": "79.77",
        "gross": "499.62",
        "cost_center": "",
    }
    assert rows["INV-2026-0023"]["net"] == "2765.40"  # typed as 2.765,40


def test_timesheets_are_normalised_to_json_lines(timesheets: Venv) -> None:
    done = timesheets.engine(SAMPLES / "data" / "timesheets.xlsx", "--format", "jsonl")
    assert done.returncode == 0
    assert done.stderr == (
        "Timesheets: 42 rows in timesheets.xlsx, 39 written, 3 with problems\n"
        '  row 11: activity: "gardening" is none of development, support, travel, meeting\n'
        "  row 33: note: 2026-04-03 is Good Friday; say why there was work\n"
        "  row 40: hours: 75.00 is more than 16\n"
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 39
    assert rows[1] == {
        "employee": "CD1002",
        "day": "2026-03-24",
        "week": "2026-W13",
        "project": 4712,
        "activity": "meeting",
        "hours": "7.75",
        "break_minutes": 30,
        "paid_hours": "7.25",
        "note": None,
    }


def test_strict_run_tells_by_its_exit_code_that_rows_have_problems(invoices: Venv) -> None:
    assert invoices.engine(SAMPLES / "data" / "invoices.xlsx", "--strict").returncode == 3


def test_missing_column_is_named_with_every_header_looked_for(
    invoices: Venv, tmp_path: Path
) -> None:
    file = tmp_path / "other.xlsx"
    make_workbook(
        invoices, file, "Invoices", ["Datum", "Supplier", "Currency", "Net", "VAT", "Sum"]
    )
    output = tmp_path / "out.csv"
    output.write_text("earlier", encoding="utf-8")
    done = invoices.engine(file, "--output", output)
    assert done.returncode == 2
    there = 'found "Datum", "Supplier", "Currency", "Net", "VAT", "Sum"'
    assert done.stderr == (
        'error: other.xlsx, sheet "Invoices", row 1: no column for invoice_number; '
        f'looked for the header "Invoice No.", "Invoice Number", "Rechnungsnummer"; {there}\n'
        'other.xlsx, sheet "Invoices", row 1: no column for gross; '
        f'looked for the header "Gross", "Total", "Brutto"; {there}\n'
    )
    assert output.read_text(encoding="utf-8") == "earlier"


def test_missing_sheet_is_named_with_those_that_are_there(invoices: Venv, tmp_path: Path) -> None:
    file = tmp_path / "other.xlsx"
    make_workbook(invoices, file, "Sheet1", ["Net"])
    done = invoices.engine(file)
    assert done.returncode == 2
    assert done.stderr == 'error: no sheet "Invoices"; the workbook has "Sheet1"\n'


def make_workbook(venv: Venv, file: Path, title: str, header: list[str]) -> None:
    code = (
        "import sys; from openpyxl import Workbook; book = Workbook(); sheet = book.active;"
        "sheet.title = sys.argv[2]; sheet.append(sys.argv[3:]); book.save(sys.argv[1])"
    )
    made = venv.run("-c", code, file, title, *header)
    assert made.returncode == 0, made.stderr


def test_file_that_is_no_workbook_is_bad_input(invoices: Venv, tmp_path: Path) -> None:
    file = tmp_path / "invoices.xlsx"
    file.write_text("Invoice No.;Date\n", encoding="utf-8")
    done = invoices.engine(file)
    assert done.returncode == 2
    assert done.stderr == "error: invoices.xlsx is not an .xlsx workbook: File is not a zip file\n"


def test_file_that_is_missing_is_bad_input(invoices: Venv, tmp_path: Path) -> None:
    done = invoices.engine(tmp_path / "none.xlsx")
    assert done.returncode == 2
    assert done.stderr == f"error: cannot read {tmp_path}/none.xlsx: No such file or directory\n"
