"""A venv is compiled; what the config's last venv had too is taken from there, and is as good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from configbuild.steps import COMPILE_BYTECODE

SOURCE = "def where(): return where.__code__.co_filename\n"
# What is not valid would be written anew.
USE = (
    "import os, a; was = os.stat(a.__cached__).st_mtime_ns; print(a.where());"
    " print(was == {}, was == os.stat(a.__cached__).st_mtime_ns)"
)


def venv(directory: Path, **modules: str) -> Path:
    directory.mkdir()
    for name, source in modules.items():
        module = directory / f"{name}.py"
        module.write_text(source)
        os.utime(module, (1_000_000, 1_000_000))
    return directory


def run(site_packages: Path, kept: Path) -> str:
    kept.mkdir(exist_ok=True)
    argv = [sys.executable, "-I", "-S", "-B", str(COMPILE_BYTECODE), str(site_packages), str(kept)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def told(compiled: int, taken: int) -> str:
    return f"Bytecode compiled {compiled} files; {taken} were compiled for the last venv"


def bytecode(site_packages: Path, name: str) -> Path:
    (found,) = (site_packages / "__pycache__").glob(f"{name}.*.pyc")
    return found


def assert_used(site_packages: Path) -> None:
    """See that Python reads the bytecode, and that its code says where it is."""
    there = bytecode(site_packages, "a").stat().st_mtime_ns
    argv = [sys.executable, "-c", USE.format(there)]
    done = subprocess.run(argv, cwd=site_packages, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(site_packages / "a.py"), "True True"]


def test_bytecode_of_the_last_venv_is_taken_and_used(tmp_path: Path) -> None:
    first, second = venv(tmp_path / "1", a=SOURCE), venv(tmp_path / "2", a=SOURCE, b="x = 1")

    assert run(first, tmp_path / "kept") == told(1, 0)
    assert run(second, tmp_path / "kept") == told(1, 1)

    assert bytecode(first, "a").samefile(bytecode(second, "a"))
    for each in (first, second):
        assert_used(each)


def test_file_of_the_same_content_and_another_time_gets_bytecode_of_its_own(tmp_path: Path) -> None:
    first, second = venv(tmp_path / "1", a=SOURCE), venv(tmp_path / "2", a=SOURCE)
    os.utime(second / "a.py", (2_000_000, 2_000_000))

    run(first, tmp_path / "kept")
    assert run(second, tmp_path / "kept") == told(0, 1)

    assert not bytecode(first, "a").samefile(bytecode(second, "a"))
    for each in (first, second):
        assert_used(each)


def test_what_is_no_longer_installed_is_not_kept(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run(venv(tmp_path / "1", a=SOURCE, b=""), kept)
    run(venv(tmp_path / "2", a=SOURCE), kept)

    assert run(venv(tmp_path / "3", a=SOURCE, b=""), kept) == told(1, 1)


@pytest.mark.parametrize(
    "modules",
    [
        pytest.param({"a": SOURCE.replace("return", "return ")}, id="edited"),
        pytest.param({"b": SOURCE}, id="at another place"),
    ],
)
def test_what_differs_is_compiled(tmp_path: Path, modules: dict[str, str]) -> None:
    run(venv(tmp_path / "1", a=SOURCE), tmp_path / "kept")

    assert run(venv(tmp_path / "2", **modules), tmp_path / "kept") == told(1, 0)


def test_bytecode_that_a_crash_has_emptied_is_not_taken(tmp_path: Path) -> None:
    first, second = venv(tmp_path / "1", a=SOURCE), venv(tmp_path / "2", a=SOURCE)
    run(first, tmp_path / "kept")
    bytecode(first, "a").write_bytes(b"")

    assert run(second, tmp_path / "kept") == told(1, 0)
    assert_used(second)


def test_bytecode_that_a_package_brings_along_is_not_kept(tmp_path: Path) -> None:
    first, second = venv(tmp_path / "1", a=SOURCE), venv(tmp_path / "2", a=SOURCE)
    run(first, tmp_path / "kept")
    brought = venv(tmp_path / "3", a=SOURCE)
    (brought / "__pycache__").mkdir()
    name = bytecode(first, "a").name
    (brought / "__pycache__" / name).write_bytes(b"its own")

    run(brought, tmp_path / "kept")

    assert run(second, tmp_path / "kept") == told(1, 0)


def test_file_that_is_no_python_is_left_as_it_is(tmp_path: Path) -> None:
    site_packages = venv(tmp_path / "1", a="{{ template }} here", b="x = 1")

    assert run(site_packages, tmp_path / "kept") == told(2, 0)

    assert [path.name[:2] for path in site_packages.rglob("*.pyc")] == ["b."]
