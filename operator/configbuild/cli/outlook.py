"""What would start the next build of a ``ConfigBuild``, and when. Pure.

In the order in which :func:`configbuild.builds.decision.decide` and the operator's clock judge,
told from the status alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from configbuild.builds.tokens import TokenKind
from configbuild.cli.told import Told, time_of
from configbuild.durations import format_duration
from configbuild.outcome import SAFE_MODE, SANDBOX_UNAVAILABLE

_BY_TOKEN = (TokenKind.FORCE, TokenKind.REQUEST)


def outlook(told: Told, now: datetime) -> list[str]:
    """Say it in a few sentences."""
    return [*_waiting_tokens(told), *_by_itself(told, now)]


def _by_itself(told: Told, now: datetime) -> list[str]:
    if told.metadata.get("deletionTimestamp"):
        return ["none: this object is being deleted"]
    if told.stale:
        return [f"open: the operator has not looked at generation {told.generation} yet"]
    if told.running:
        return _while_running(told)
    if told.suspended:
        return _suspended(told)
    return _at_rest(told, now)


def _at_rest(told: Told, now: datetime) -> list[str]:
    if told.holds("Ready"):
        return _pinned() if told.active.get("pinned") else _while_ready(told, now)
    if told.holds("Stalled"):
        return _stalled(told)
    return _due_again(told, now)


def _waiting_tokens(told: Told) -> list[str]:
    if told.observed is None:  # seen for the first time, they are taken down and not acted on
        return []
    return [
        f"{token.kind.annotation}={token.token} is not handled yet"
        for token in told.tokens()
        if token.state == "waiting" and token.kind in _BY_TOKEN
    ]


def _while_running(told: Told) -> list[str]:
    rest = "no other is started" if told.suspended else "a change of an input has it replaced"
    return [f"{told.build.get('id')} is under way", rest]


def _suspended(told: Told) -> list[str]:
    lines = ["none while spec.suspend is true, not even by a token"]
    declared = told.fingerprint.get("value")
    if declared is not None and declared != told.active.get("fingerprint"):
        lines.append("what is declared is not what is active: after that it is decided anew")
    return lines


def _pinned() -> list[str]:
    return [
        "none by itself while ade.dev/activate pins the active build",
        "decided anew without that annotation or after an edit of the spec",
        "by a new ade.dev/force; the pin ends once that build has succeeded",
    ]


def _while_ready(told: Told, now: datetime) -> list[str]:
    return [
        _by_age(told, now),
        f"when an input changes: {_an_edit(told)}",
        "by a new ade.dev/force, or when the venv or its interpreter is gone",
    ]


def _by_age(told: Told, now: datetime) -> str:
    expires = time_of(told.active.get("expiresAt"))
    if expires is None:
        return "never by age: there is no ttl"
    if told.build.get("status") != "active" and told.build_is_of_the_spec:
        # As the operator has it: what failed for good is not tried again because it gets old.
        return "not by age, though there is a ttl: the newest build ended without success"
    words = "when it expires:" if expires > now else "now: it expired"
    return f"{words} {moment(expires, now)}"


def _an_edit(told: Told) -> str:
    if not told.moving:
        return "by an edit of the spec"
    interval = told.spec.get("interval")
    often = f"every {interval}" if interval else "at the operator's interval"
    return f"by an edit of spec or source (seen {often})"


def _due_again(told: Told, now: datetime) -> list[str]:
    ready = told.condition("Ready").get("reason")
    failure = told.build.get("failure") or {}
    retry = time_of(told.build.get("retryAt"))
    if retry is not None and failure.get("reason") == ready:
        number = int(told.build.get("attempt", 1)) + 1
        if retry > now:
            return [f"by itself: try {number} at {moment(retry, now)}"]
        return [f"now, by itself: try {number}, due since {moment(retry, now)}"]
    return ["soon, by itself: the operator looks again"]


def _stalled(told: Told) -> list[str]:
    reason = told.condition("Ready").get("reason")
    failure = told.build.get("failure") or {}
    if told.build.get("status") not in ("failed", "canceled") or failure.get("reason") != reason:
        return ["none until the spec, or the source that it names, is put right"]
    if reason == SAFE_MODE:
        return ["when the operator runs without safe mode again"]
    if reason == SANDBOX_UNAVAILABLE:
        return ["when the operator runs where the kernel has Landlock, or with ADE_SANDBOX=off"]
    return [
        "none by itself: it is stalled",
        f"when an input changes: {_an_edit(told)}",
        "by a new ade.dev/request or ade.dev/force, without any change",
    ]


def moment(time: datetime, now: datetime) -> str:
    """Write a time, and how far off it is: ``2026-03-01T12:30:45Z (in 4m05s)``."""
    away_s = (time - now).total_seconds()
    text = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    far = _far(abs(away_s))
    return f"{text} (in {far})" if away_s > 0 else f"{text} ({far} ago)"


def _far(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f}s"
    days = round(seconds / 86400)
    return f"{days} days" if days >= 3 else format_duration(seconds)
