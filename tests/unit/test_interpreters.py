"""The allow-list of Pythons: each is asked what it is, and a spec gets what there is."""

from __future__ import annotations

import asyncio
import os
import platform
import select
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from configbuild import interpreters
from configbuild.errors import SpecError
from configbuild.interpreters import Interpreter, InterpreterError, Interpreters, probe

PYTHON = Path(sys.executable)


def known(*versions: str) -> Interpreters:
    return Interpreters(
        known=tuple(
            Interpreter(path=Path(f"/opt/{version}"), version=version, platform="linux-x86_64")
            for version in versions
        )
    )


def program(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_real_python_says_what_it_is() -> None:
    found = asyncio.run(probe([PYTHON, PYTHON]))

    assert found.default == Interpreter(
        path=PYTHON, version=platform.python_version(), platform=sysconfig.get_platform()
    )
    assert len(found.known) == 2
    assert found.default.minor == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        pytest.param(Path("/nowhere/python3"), "does not start: .*No such file", id="missing"),
        pytest.param(Path("/etc"), "does not start: .*Permission denied", id="folder"),
        pytest.param(Path("/bin/false"), "is not a Python that works", id="fails"),
        pytest.param(Path("/bin/echo"), "is not a Python that works", id="says something else"),
        pytest.param(Path("python3"), "is not an absolute path", id="relative"),
    ],
)
def test_what_is_no_python_is_refused_by_its_path(path: Path, problem: str) -> None:
    with pytest.raises(InterpreterError, match=f"^{path} {problem}") as caught:
        asyncio.run(probe([PYTHON, path]))

    assert caught.value.reason == "InterpreterUnavailable"


def test_last_words_of_what_is_no_python_are_quoted(tmp_path: Path) -> None:
    path = program(tmp_path, "echo 'libpython is missing' >&2; exit 127")

    with pytest.raises(InterpreterError, match="libpython is missing"):
        asyncio.run(probe([path]))


@pytest.mark.parametrize("answer", ["1", "[]", '["3.12"]', "{}", "null", '"ab"', "[3, 12]"])
def test_answer_of_another_form_is_no_pythons(tmp_path: Path, answer: str) -> None:
    path = program(tmp_path, f"echo '{answer}'")

    with pytest.raises(InterpreterError, match="is not a Python that works"):
        asyncio.run(probe([path]))


def test_python_that_does_not_answer_is_given_up_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_ANSWER_TIMEOUT_S", 0.05)
    path = program(tmp_path, "exec sleep 20")
    started = time.monotonic()

    with pytest.raises(InterpreterError, match=f"^{path}"):
        asyncio.run(probe([path]))

    assert time.monotonic() - started < 10


def test_cancelled_question_ends_the_interpreter_that_was_asked(tmp_path: Path) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    path = program(tmp_path, f"echo $$ > '{fifo}'; exec sleep 20")

    async def main() -> None:
        asking = asyncio.create_task(probe([path]))
        process = os.pidfd_open(int(await asyncio.to_thread(fifo.read_text)))
        try:
            asking.cancel()
            started = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await asking
            ended, _, _ = select.select([process], [], [], 0)
            assert ended
            assert time.monotonic() - started < 10
        finally:
            os.close(process)

    asyncio.run(main())


def test_interpreter_is_picked_by_its_minor_version() -> None:
    assert known("3.11.9", "3.12.1", "3.12.4").pick("3.12").version == "3.12.1"


def test_minor_version_is_no_prefix() -> None:
    assert known("3.12.1", "3.1.2").pick("3.1").version == "3.1.2"


def test_missing_version_is_told_with_those_that_there_are() -> None:
    with pytest.raises(SpecError, match=r"3\.14 is not among .* \(3\.11, 3\.12\)") as caught:
        known("3.11.9", "3.12.1").pick("3.14")

    assert (caught.value.field, caught.value.reason) == ("spec.python", "PythonUnavailable")


def test_first_of_the_list_is_the_default() -> None:
    assert known("3.12.1", "3.11.9").default.minor == "3.12"
