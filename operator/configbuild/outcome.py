"""How a build ended, and what it made. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from configbuild.events import BuildCompleted
from configbuild.model import BuildStatus, Step

# The former service's words, which its clients may look for.
REUSED = "Reused existing build"

# Reasons for which an operator makes no build at all: it starts no process, or has no sandbox to
# run one in. Nothing is wrong with the build: the next operator, or one on another node, makes it.
SAFE_MODE = "SafeMode"
SANDBOX_UNAVAILABLE = "SandboxUnavailable"
HINDRANCES = frozenset({SAFE_MODE, SANDBOX_UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltVenv:
    """A verified venv. ``python`` is its whole version, ``engine`` ``name version``."""

    path: Path
    python: str
    engine: str
    built_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a build ended; ``venv`` is there exactly if ``status`` is ``active``.

    ``message`` is for people and names the failing step's last lines of output; ``reason`` is the
    CamelCase word for programs.
    """

    status: BuildStatus
    summary: str
    exit_code: int | None = None
    message: str | None = None
    reason: str | None = None
    hint: str | None = None
    step: Step | None = None
    venv: BuiltVenv | None = None

    def event(self) -> BuildCompleted:
        """Make the last event of the build."""
        return BuildCompleted(
            status=self.status,
            exit_code=self.exit_code,
            summary=self.summary,
            error_message=self.message,
            reason=self.reason,
            hint=self.hint,
        )


def succeeded(venv: BuiltVenv) -> Outcome:
    """Say that a build ended well, in the former service's words."""
    return Outcome(status=BuildStatus.ACTIVE, summary="Build succeeded", exit_code=0, venv=venv)


def failed(
    message: str,
    *,
    reason: str,
    exit_code: int | None = None,
    step: Step | None = None,
    hint: str | None = None,
) -> Outcome:
    """Say that a build failed."""
    where = f" in step {step}" if step is not None else ""
    return Outcome(
        status=BuildStatus.FAILED,
        summary=f"Build failed{where}",
        exit_code=exit_code,
        message=message,
        reason=reason,
        hint=hint,
        step=step,
    )


def canceled(message: str, *, reason: str) -> Outcome:
    """Say that a build was ended before it was done, and by what."""
    return Outcome(
        status=BuildStatus.CANCELED, summary="Build canceled", message=message, reason=reason
    )
