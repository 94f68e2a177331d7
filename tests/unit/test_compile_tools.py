"""What wheels are built with is compiled, and its bytecode read where that is linked to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from configbuild.steps import COMPILE_TOOLS
from configbuild.steps.compile_tools import MOST_MODULES

CHECK = "import importlib.util as u, sys; print(u.find_spec('tool').cached); import tool"


def unpacked(archives: Path, name: str, *sources: str) -> Path:
    for number, source in enumerate(sources):
        module = archives / name / "tool" / (f"m{number}.py" if number else "__init__.py")
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(source)
    return archives / name


def run(archives: Path) -> str:
    argv = [sys.executable, "-I", "-S", "-B", str(COMPILE_TOOLS), str(archives)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def compiled(folder: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in folder.rglob("*.pyc"))


def test_bytecode_is_valid_where_the_files_are_linked_to(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "archives", "a", "print('run')", "x = 1")

    assert run(tmp_path / "archives") == (
        "Bytecode compiled 2 files of build tools, for this build and later ones\n"
    )
    for path in folder.rglob("*.py*"):
        link = tmp_path / "env" / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, link)
    (bytecode,) = (tmp_path / "env").rglob("__init__.*.pyc")
    inode = bytecode.stat().st_ino
    argv = [sys.executable, "-c", CHECK]
    told = subprocess.run(argv, cwd=tmp_path / "env", capture_output=True, text=True, check=True)

    assert told.stdout.splitlines() == [str(bytecode), "run"]
    # Python would have written in its place what it had to compile itself.
    assert bytecode.stat().st_ino == inode


def test_file_that_is_no_python_is_left_as_it_is(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, "a", "", "{{ template }} here", "x = 1")

    run(tmp_path)

    assert compiled(folder) == ["__init__", "m2"]


def test_library_that_is_larger_than_any_tool_is_left_out(tmp_path: Path) -> None:
    large = unpacked(tmp_path, "large", *[""] * (MOST_MODULES + 1))
    tool = unpacked(tmp_path, "tool", "")

    run(tmp_path)

    assert compiled(large) == []
    assert compiled(tool) == ["__init__"]
