"""Read the API server's audit log: what was really asked of it, by whom, with what answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

# Created, answered and stored nowhere.
REVIEWS = ("selfsubjectaccessreviews", "subjectaccessreviews", "tokenreviews")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One request, at one stage (https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/)."""

    user: str
    """As `system:serviceaccount:<namespace>:<name>` or a certificate's common name."""
    verb: str
    """Kubernetes' verb (`list`, `patch` …), not HTTP's method."""
    resource: str
    """Plural, with the subresource if any: `configbuilds/status`. A path like `/readyz`
    where no resource was asked for."""
    namespace: str
    """Empty for cluster-wide requests."""
    name: str
    """Empty for collections, and for a creation that leaves the name to the server."""
    code: int
    """HTTP status of the answer."""
    stage: str
    """`ResponseComplete`, for watches also `ResponseStarted` when they begin."""
    stage_timestamp: datetime

    @property
    def writes(self) -> bool:
        """Whether the request asked for something to be stored: a review only asks."""
        return self.verb not in ("get", "list", "watch") and self.resource not in REVIEWS


class AuditLog:
    """The audit log of one control plane.

    A line is written when a request ends, which can be a moment *after* its client has
    the answer: wait for the lines you expect, then count.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self) -> int:
        """Return the offset in bytes where the next line will begin, for `entries(since=…)`."""
        return len(self._complete_lines(0))

    def entries(self, *, user: str | None = None, since: int = 0) -> tuple[AuditEntry, ...]:
        """Return what was logged from the offset `since` on, of one user or of all, in order."""
        entries = (_decode(line) for line in self._complete_lines(since).splitlines())
        return tuple(entry for entry in entries if user is None or entry.user == user)

    def _complete_lines(self, since: int) -> bytes:
        """Read from `since` up to the last newline: the server may be writing right now."""
        if not self.path.exists():  # no request yet
            return b""
        with self.path.open("rb") as stream:
            stream.seek(since)
            data = stream.read()
        return data[: data.rfind(b"\n") + 1]


def _decode(line: bytes) -> AuditEntry:
    event: dict[str, Any] = json.loads(line)
    target: dict[str, str] = event.get("objectRef", {})
    return AuditEntry(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource=_resource(target) or event["requestURI"],
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        stage=event["stage"],
        stage_timestamp=datetime.fromisoformat(event["stageTimestamp"]),
    )


def _resource(target: dict[str, str]) -> str:
    return "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
