"""How a ``ConfigBuild`` stands, why it was built and what would build it again. Pure.

::

    team-a/invoices: not ready (Queued)
             build_01JD… waits for its turn (SourceChanged)
    active:  build_01JC…
             Python 3.11.2, ade-engine 1.4.0
             built 2026-03-01T12:30:45Z (2h10m ago), no ttl
    newest:  build_01JD… is queued
    why:     a source changed, the spec did not
             config: a65510002725 → c1d2e3f4a5b6
    next:    build_01JD… is under way
             a change of an input has it replaced
    tokens:  force=2026-03-01 (handled)
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from configbuild.cli.outlook import moment, outlook
from configbuild.cli.text import printable
from configbuild.cli.told import Token, Told, time_of
from configbuild.model import Trigger

WIDTH = 80
_INDENT = 9

# A person wants to know what is wrong, and has `logs` for the rest.
_MESSAGE_LINES = 3

_WHY = {
    Trigger.INITIAL: "there was none before",
    Trigger.SPEC_CHANGED: "the spec changed",
    Trigger.SOURCE_CHANGED: "a source changed, the spec did not",
    Trigger.EXPIRED: "the active build was older than its ttl",
    Trigger.FORCED: "it was forced",
    Trigger.REQUESTED: "it was asked for again",
    Trigger.INTERRUPTED: "the one before was interrupted",
    Trigger.MISSING: "the active venv or its interpreter was gone",
    Trigger.RETRY: "what failed before may pass now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An input that changed: its short hashes before and now.

    ``None``: there was none, or is none. ``superseded``: what it became is not known any more.
    """

    input: str
    before: str | None
    now: str | None
    superseded: bool = False

    def __str__(self) -> str:
        if self.superseded:
            return f"{self.input}: was {self.before or 'none'}"
        return f"{self.input}: {self.before or 'none'} → {self.now or 'none'}"


def changes(
    names: Iterable[str], before: Mapping[str, str], now: Mapping[str, str]
) -> list[Change]:
    """Pair what inputs were with what they are."""
    return [
        Change(input=name, before=before.get(name) or None, now=now.get(name) or None)
        for name in names
    ]


def explain(body: Mapping[str, Any], *, now: datetime) -> list[str]:
    """Say of an object what a person wants to know, in lines of at most 80 characters."""
    told = Told(body)
    return [
        *wrapped(f"{told.title}: {standing(told)}", indent=0),
        *_message(told),
        *row("active", *active_parts(told, now)),
        *row("newest", _newest(told)),
        *row("why", *_why_built(told), *packed(map(str, changes_of(told)))),
        *row("next", *outlook(told, now)),
        *row("tokens", *packed(map(token_words, told.tokens()))),
        *row("refused", *refused(told)),
    ]


def explain_json(body: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Say the same for programs; times as they are in the status."""
    told = Told(body)
    build = told.build
    newest = {
        "id": build.get("id"),
        "status": build.get("status"),
        "trigger": build.get("trigger"),
        "why": why(build.get("trigger")),
        "changed": [asdict(change) for change in changes_of(told)],
        "retryAt": build.get("retryAt"),
    }
    ready = told.condition("Ready")
    return {
        "namespace": told.metadata.get("namespace"),
        "name": told.metadata.get("name"),
        "generation": told.generation,
        "observedGeneration": told.observed,
        "ready": told.holds("Ready") and not told.stale,
        "reason": ready.get("reason"),
        "message": ready.get("message"),
        "suspended": told.suspended,
        "active": dict(told.active) or None,
        "newest": newest if build else None,
        "next": outlook(told, now),
        "tokens": [asdict(token) for token in told.tokens()],
        "refused": refused(told),
    }


def row(label: str, *parts: str) -> list[str]:
    """Write parts below each other behind a label; nothing without parts."""
    lines = [line for part in parts for line in wrapped(part)]
    if lines:
        lines[0] = f"{label}:".ljust(_INDENT) + lines[0][_INDENT:]
    return lines


def wrapped(text: str, *, indent: int = _INDENT) -> list[str]:
    """Break a text into lines of at most 80 characters; they begin further to the right."""
    margin = " " * indent
    return [
        line
        for part in printable(text).splitlines()
        for line in textwrap.wrap(
            part,
            WIDTH,
            initial_indent=margin,
            subsequent_indent=margin or "  ",
            break_on_hyphens=False,
        )
    ]


def packed(items: Iterable[str]) -> list[str]:
    """Put as many items on a line as there is room for, and break none that fits."""
    lines: list[str] = []
    for item in items:
        joined = f"{lines[-1]}, {item}" if lines else item
        if lines and len(joined) <= WIDTH - _INDENT - 1:  # a comma may follow
            lines[-1] = joined
        else:
            lines.append(item)
    return [*(f"{line}," for line in lines[:-1]), *lines[-1:]]


def build_parts(
    build_id: str,
    *,
    inside: Iterable[object],
    built: datetime | None,
    expires: datetime | None,
    now: datetime,
) -> list[str]:
    """Tell of a verified build: its id, what is in it, and its age."""
    parts = [build_id, ", ".join(str(it) for it in inside if it)]
    parts.append(f"built {moment(built, now)}" if built else "built at an unknown time")
    if expires is None:
        parts[-1] += ", no ttl"
    else:
        parts.append(f"{'expires' if expires > now else 'expired'} {moment(expires, now)}")
    return parts


def standing(told: Told) -> str:
    """Say in a few words whether what is declared is ready, and the reason."""
    if told.observed is None:
        return "not ready (no operator has looked at it yet)"
    ready = told.condition("Ready")
    words = "ready" if told.holds("Ready") else "not ready"
    if told.stale:
        return (
            f"not known for generation {told.generation}; generation {told.observed} was {words}"
            f" ({ready.get('reason')})"
        )
    return f"{words} ({ready.get('reason', 'no condition')})"


def _message(told: Told) -> list[str]:
    ready = told.condition("Ready")
    if told.stale or ready.get("reason") == "BuildSucceeded":
        # It speaks of another spec, or says what the active build is, which comes next anyway.
        return []
    lines = wrapped(str(ready.get("message", "")))
    if len(lines) <= _MESSAGE_LINES:
        return lines
    kept = lines[:_MESSAGE_LINES]
    return [*kept[:-1], f"{kept[-1][: WIDTH - 2]} …"]


def active_parts(told: Told, now: datetime) -> list[str]:
    """Tell of the active build, a line for each thing."""
    active = told.active
    if not active:
        return ["none"]
    python = active.get("python")
    parts = build_parts(
        str(active.get("buildId")),
        inside=(python and f"Python {python}", active.get("engine")),
        built=time_of(active.get("builtAt")),
        expires=time_of(active.get("expiresAt")),
        now=now,
    )
    return [*parts, "pinned by ade.dev/activate"] if active.get("pinned") else parts


def _newest(told: Told) -> str:
    build = told.build
    if not build:
        return "none yet"
    status = build.get("status")
    words = "succeeded" if status == "active" else f"is {status}" if told.running else str(status)
    attempt = f", try {build['attempt']}" if build.get("attempt") else ""
    return f"{build.get('id')} {words}{attempt}"


def _why_built(told: Told) -> list[str]:
    return [why(told.build.get("trigger"))] if told.build else []


def why(trigger: object) -> str:
    """Put a trigger into words."""
    # A trigger of a newer operator is told as it is.
    return next((words for known, words in _WHY.items() if known == trigger), str(trigger))


def changes_of(told: Told) -> list[Change]:
    """List the inputs with whose change the newest build began."""
    names, before = told.build.get("changed") or (), told.build.get("changedFrom") or {}
    if told.build_is_of_the_spec:
        return changes(names, before, told.inputs)
    # What is declared has moved on, and nobody wrote down what it was for that build.
    return [replace(change, superseded=True) for change in changes(names, before, {})]


def token_words(token: Token) -> str:
    """Tell what became of a token."""
    words = "not handled yet" if token.state == "waiting" else token.state
    led_to = f": {token.build_id}" if token.build_id and token.build_id != token.token else ""
    return f"{token.kind}={token.token[:64]} ({words}{led_to})"


def refused(told: Told) -> list[str]:
    """Tell which annotations cannot be followed."""
    condition = told.condition("InvalidAnnotation")
    return [str(condition["message"])] if told.holds("InvalidAnnotation") else []
