"""What is told first of a failed command, and which failures may pass; lines of real uv and pip."""

from __future__ import annotations

import pytest

from configbuild.failures import command_title, describe_failure, headline, passing_reason

UV_UNREACHABLE = """\
Using Python 3.11.7 environment at: venv
error: Failed to fetch: https://index.example/simple/xyz/
  cause: error sending request for url (https://index.example/simple/xyz/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)""".splitlines()
UV_NO_DISTRIBUTION = """\
error: No solution found when resolving dependencies
  cause: Because xyz was not found in the package registry and you require xyz, we can conclude \
that your requirements are unsatisfiable.""".splitlines()
UV_DISK_FULL = """\
error: Failed to install: et_xmlfile-2.0.0-py3-none-any.whl (et-xmlfile==2.0.0)
  cause: failed to copy file from a to b: No space left on device (os error 28)""".splitlines()
UV_BACKEND = """\
Building wheel...
the rules have a hole in line 7
error: Failed to build `tree`
  cause: The build backend returned an error
  cause: Call to `backend.build_wheel` failed (exit status: 1)

hint: Build failures usually indicate a problem with the package or the build \
environment""".splitlines()
PIP_NO_DISTRIBUTION = """\
ERROR: Could not find a version that satisfies the requirement xyz (from versions: none)
ERROR: No matching distribution found for xyz""".splitlines()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param(UV_UNREACHABLE, "IndexUnreachable", id="uv, no connection"),
        pytest.param(UV_DISK_FULL, "DiskFull", id="uv, disk full"),
        pytest.param(UV_NO_DISTRIBUTION, None, id="uv, no such package"),
        pytest.param(UV_BACKEND, None, id="uv, back end"),
        pytest.param(PIP_NO_DISTRIBUTION, None, id="pip, no such package"),
        pytest.param([], None, id="nothing said"),
    ],
)
def test_failure_that_may_pass_is_told_from_one_that_stays(
    lines: list[str], reason: str | None
) -> None:
    assert passing_reason(lines) == reason


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        pytest.param(UV_BACKEND, "the rules have a hole in line 7", id="back end"),
        pytest.param(
            PIP_NO_DISTRIBUTION, "ERROR: No matching distribution found for xyz", id="pip"
        ),
        pytest.param(UV_UNREACHABLE, "cause: Connection refused (os error 111)", id="uv"),
        pytest.param(["", "  "], None, id="nothing said"),
    ],
)
def test_telling_line_comes_first(lines: list[str], first: str | None) -> None:
    assert headline(lines) == first


@pytest.mark.parametrize(
    ("argv", "title"),
    [
        (("/opt/bin/uv", "pip", "install", "--", "x"), "uv pip install"),
        (("/opt/bin/uv", "build", "--wheel", "tree"), "uv build"),
        (("/venv/bin/python", "-I", "-m", "pip", "wheel", "x"), "pip wheel"),
        (("/venv/bin/python", "-I", "-B", "/opt/verify_imports.py", "a"), "verify_imports"),
    ],
)
def test_command_is_named_as_a_person_would(argv: tuple[str, ...], title: str) -> None:
    assert command_title(argv) == title


def test_signal_is_told_and_the_last_lines_are_quoted() -> None:
    told = describe_failure(("/bin/uv", "build"), exit_code=137, signal=9, tail=["a", "b"])
    assert told == "uv build was ended by signal 9: b\na\nb"
