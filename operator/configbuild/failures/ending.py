"""What is known of a command that failed, and what is made of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from configbuild.model import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A command that failed.

    ``lines`` are the lines of both streams that :class:`~configbuild.failures.sample.Sample` kept,
    in their order. ``exit_code`` is
    128 plus the signal where a signal ended it. ``engine`` is the name of the engine that is
    installed; empty before it is. ``otherwise`` is the reason if no rule knows better.
    ``oom_kills``: how many processes the kernel killed for want of memory meanwhile; ``None`` where
    it does not say.
    """

    argv: tuple[str, ...]
    step: Step
    exit_code: int
    signal: int | None
    lines: tuple[str, ...]
    otherwise: str
    engine: str = ""
    oom_kills: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What to tell of it: ``headline`` is one line, and names the command and its telling line.

    ``hint`` is one line that says what to change, by the name of a field where it is one of the
    spec; ``None`` if nothing is known but what was written.
    """

    reason: str
    headline: str
    hint: str | None
