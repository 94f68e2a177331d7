"""The Python interpreters that builds may use: an allow-list of paths, asked once what they are.

A venv links to its interpreter, so these must lie at paths that consumers have too. Nothing here
downloads one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from configbuild.errors import ConfigBuildError, SpecError

_QUESTION = (
    "import json, platform, sysconfig, sys;"
    "print(json.dumps([platform.python_version(), sysconfig.get_platform()]))"
)

# An interpreter answers in 20 ms; a minute means that its disk is gone.
_ANSWER_TIMEOUT_S = 60.0


class InterpreterError(ConfigBuildError):
    """An interpreter of the allow-list does not start or is none."""

    reason = "InterpreterUnavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python: its path, whole version (``3.12.1``) and platform (``linux-x86_64``)."""

    path: Path
    version: str
    platform: str

    @property
    def minor(self) -> str:
        """The version as ``X.Y``, as a spec names it."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreters:
    """The allow-list; the first is the default."""

    known: tuple[Interpreter, ...]

    @property
    def default(self) -> Interpreter:
        """The interpreter for specs that name none."""
        return self.known[0]

    def pick(self, minor: str) -> Interpreter:
        """Find the interpreter for ``spec.python``; :class:`SpecError` lists those there are."""
        for interpreter in self.known:
            if interpreter.minor == minor:
                return interpreter
        there = ", ".join(interpreter.minor for interpreter in self.known)
        raise SpecError(
            "spec.python",
            f"{minor} is not among the operator's interpreters ({there}); use one of these, or have"
            " ADE_PYTHON_BINS name one",
            reason="PythonUnavailable",
        )


async def probe(paths: Iterable[Path]) -> Interpreters:
    """Ask each path what Python it is; :class:`InterpreterError` names the one that fails.

    Cancellation ends the interpreter that is being asked.
    """
    return Interpreters(known=tuple([await _probe(path) for path in paths]))


async def _probe(path: Path) -> Interpreter:
    if not path.is_absolute():
        raise InterpreterError(f"{path} is not an absolute path; ADE_PYTHON_BIN needs one")
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "-I",
            "-c",
            _QUESTION,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise InterpreterError(f"{path} does not start: {error}") from error
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            output, problem = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise InterpreterError(
            f"{path} did not say within {_ANSWER_TIMEOUT_S:.0f} s what Python it is"
        ) from None
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    match _json(output):
        case [str(version), str(platform)]:
            return Interpreter(path=path, version=version, platform=platform)
        case _:
            words = problem.decode(errors="replace").strip()[-500:]
            raise InterpreterError(f"{path} is not a Python that works: {words}")


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
