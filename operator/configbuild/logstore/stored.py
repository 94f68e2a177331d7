"""What is remembered of a log's copy. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from configbuild.model import BuildId, ConfigKey


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOwner:
    """Whose log it is: a build of the config that has this uid."""

    key: ConfigKey
    uid: str
    build_id: BuildId


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a copy: the object that holds it, and the SHA-256 (hex) of what it holds.

    Only what has both this uid and this hash is what the operator wrote.
    """

    name: str
    uid: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """How the copy of a log stands.

    ``store`` names the kind of store. ``complete``: the whole log is in it, to its last event, and
    it changes no more. ``truncated``: log lines of its middle were left out. ``problem`` says why
    the copy is not, or not yet, complete. ``chunks`` are in the order of the log, for stores that
    have them.
    """

    store: str
    complete: bool = False
    truncated: bool = False
    problem: str | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether more of the log is on its way, and nothing stands in the way."""
        return not self.complete and self.problem is None
