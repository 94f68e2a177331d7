"""What an object says of itself: a ``ConfigBuild`` as the API server gives it. Pure.

Absent parts are empty, since a status may be that of an older operator, or none yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from configbuild.builds.tokens import TokenKind, read_tokens

_NEVER = -1  # the CRD's default for status.observedGeneration

# Kinds of sources whose content can change while the spec stays as it is.
_MOVING = ("configMap", "git", "archive", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An ``ade.dev/`` annotation, and what became of it: ``handled``, ``refused`` or ``waiting``.

    One that was taken from the object again is told of as long as the operator remembers it.
    """

    kind: TokenKind
    token: str
    state: str
    build_id: str | None = None


class Told:
    """An object's body, by what one asks of it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.metadata: Mapping[str, Any] = body.get("metadata") or {}
        self.spec: Mapping[str, Any] = body.get("spec") or {}
        self.status: Mapping[str, Any] = body.get("status") or {}
        self.active: Mapping[str, Any] = self.status.get("active") or {}
        self.build: Mapping[str, Any] = self.status.get("build") or {}
        self.fingerprint: Mapping[str, Any] = self.status.get("fingerprint") or {}
        self.inputs: Mapping[str, str] = self.fingerprint.get("inputs") or {}
        self._conditions = {row["type"]: row for row in self.status.get("conditions") or ()}

    @property
    def title(self) -> str:
        """Namespace and name."""
        return f"{self.metadata.get('namespace', '')}/{self.metadata.get('name', '')}"

    @property
    def generation(self) -> int:
        """The generation of the spec as it is."""
        return int(self.metadata.get("generation", 0))

    @property
    def observed(self) -> int | None:
        """The generation that the status speaks of; ``None``: it speaks of none yet."""
        observed = int(self.status.get("observedGeneration", _NEVER))
        return None if observed == _NEVER else observed

    @property
    def stale(self) -> bool:
        """Whether the status does not speak of the spec as it is."""
        return self.observed is None or self.observed < self.generation

    @property
    def running(self) -> bool:
        """Whether the newest build waits or runs."""
        return self.build.get("status") in ("queued", "building")

    @property
    def suspended(self) -> bool:
        """Whether the spec forbids that a build starts."""
        return self.spec.get("suspend") is True

    @property
    def moving(self) -> bool:
        """Whether a source can change without the spec."""
        engine, config = self.spec.get("engine") or {}, self.spec.get("config") or {}
        return any(kind in source for source in (engine, config) for kind in _MOVING)

    @property
    def build_is_of_the_spec(self) -> bool:
        """Whether the newest build was of what is declared now."""
        declared = self.fingerprint.get("value")
        return declared is not None and self.build.get("fingerprint") == declared

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Give a condition; empty where it is absent."""
        return self._conditions.get(kind) or {}

    def holds(self, kind: str) -> bool:
        """Whether a condition is there and true."""
        return self.condition(kind).get("status") == "True"

    def tokens(self) -> list[Token]:
        """List the tokens that the object bears or the operator remembers."""
        handled = self.status.get("handled") or {}
        annotations = self.metadata.get("annotations") or {}
        declared = read_tokens(annotations)
        complaint = str(self.condition("InvalidAnnotation").get("message", ""))
        found = []
        for kind in TokenKind:
            known = handled.get(kind) or {}
            token = annotations.get(kind.annotation, known.get("token"))
            if token is None:
                continue
            if kind in declared.faults:
                state = "refused"
            elif token == known.get("token"):
                state = "handled"
            else:
                state = "refused" if f"{kind.annotation}: {token} " in complaint else "waiting"
            build_id = known.get("buildId") if state == "handled" else None
            found.append(Token(kind=kind, token=token, state=state, build_id=build_id))
        return found


def time_of(text: object) -> datetime | None:
    """Read a time of the status; ``None`` where there is none."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
