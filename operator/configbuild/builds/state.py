"""What is known of one config: its declaration as last seen, its active build, its builds."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from configbuild.builds.attempt import Attempt
from configbuild.builds.decision import retry_at
from configbuild.builds.records import BuildRecord
from configbuild.builds.tokens import Handled, TokenKind
from configbuild.engine import BuildRequest
from configbuild.fingerprint import Fingerprint
from configbuild.journal import JournalSummary
from configbuild.layout import BuildPaths, Layout
from configbuild.logstore import LogOwner, StoredLog
from configbuild.model import BuildId, BuildStatus, ConfigKey, Trigger
from configbuild.outcome import BuiltVenv
from configbuild.receipt import read_receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveBuild:
    """The verified build that consumers use; ``inputs`` are those of its fingerprint."""

    build_id: BuildId
    venv_path: str
    fingerprint: str
    inputs: Mapping[str, str]
    python: str
    engine: str
    built_at: datetime

    @classmethod
    def of(cls, request: BuildRequest, venv: BuiltVenv) -> ActiveBuild:
        """Make the pointer to a venv that was just verified."""
        return cls(
            build_id=request.build_id,
            venv_path=str(venv.path),
            fingerprint=request.fingerprint.value,
            inputs=request.fingerprint.inputs,
            python=venv.python,
            engine=venv.engine,
            built_at=venv.built_at,
        )

    @classmethod
    def from_receipt(cls, paths: BuildPaths, build_id: BuildId, uid: str) -> ActiveBuild | None:
        """Make the pointer from a venv's receipt.

        ``None`` if it has none and is not verified, or is another object's than that of ``uid``.
        """
        receipt = read_receipt(paths.receipt)
        if receipt is None or (receipt["build_id"], receipt["uid"]) != (build_id, uid):
            return None
        engine = receipt["engine"]
        return cls(
            build_id=build_id,
            venv_path=str(paths.venv),
            fingerprint=receipt["fingerprint"]["value"],
            inputs=receipt["fingerprint"]["inputs"],
            python=receipt["python"]["version"],
            engine=f"{engine['name']} {engine['version']}",
            built_at=datetime.fromisoformat(receipt["verified"]),
        )

    def as_record(self, key: ConfigKey) -> BuildRecord:
        """Tell of the build what the pointer knows, where nothing else remembers it any more."""
        return BuildRecord(
            id=self.build_id,
            key=key,
            status=BuildStatus.ACTIVE,
            trigger=Trigger.REQUESTED,
            queued_at=self.built_at,
            finished_at=self.built_at,
            fingerprint=self.fingerprint,
            exit_code=0,
            summary="Build succeeded",
        )

    def expires_at(self, ttl_s: float) -> datetime:
        """When it is to be built anew: after the ttl and up to a tenth more.

        The tenth depends on the build alone, so that environments that were built together are not
        all built again together, and that a restart changes nothing.
        """
        share = zlib.crc32(self.build_id.encode()) / 2**32
        return self.built_at + timedelta(seconds=ttl_s * (1 + share / 10))

    def usable(self, layout: Layout, key: ConfigKey) -> bool:
        """Whether it stands on disk: its receipt, and an interpreter that can be executed."""
        paths = layout.build(key, self.build_id)
        # The receipt is written whole or not at all, so that it is there says enough.
        return paths.receipt.exists() and os.access(paths.python, os.X_OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastKnown:
    """What was last written down about a config, by an operator that may have died since."""

    generation: int = -1
    active: ActiveBuild | None = None
    newest: BuildRecord | None = None
    newest_inputs: Mapping[str, str] = field(default_factory=dict)
    history: tuple[BuildRecord, ...] = ()
    handled: Mapping[TokenKind, Handled] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A config as it is declared now.

    ``spec`` is JSON data; ``uid`` tells a deleted and recreated one apart; ``last_known`` is read
    when this process sees the config for the first time, and never again.
    """

    key: ConfigKey
    uid: str
    generation: int
    spec: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict)
    last_known: LastKnown = field(default_factory=LastKnown)

    @property
    def suspended(self) -> bool:
        """Whether no build may start."""
        return self.spec.get("suspend") is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a config cannot be built as it is; ``stalled``: trying again will not help."""

    reason: str
    message: str
    stalled: bool


@dataclass(slots=True, kw_only=True)
class ConfigState:
    """All that is known of one config. Changed only under :attr:`lock`, or by its own attempt.

    ``moving``: its source can change without its spec. ``faults``: annotations that could not be
    followed. ``canceling``: a token that ends the running build, told as handled with that end.
    ``pinned``: the active build was chosen by a person and stands until further notice.
    """

    key: ConfigKey
    uid: str
    generation: int = -1
    suspended: bool = False
    problem: Problem | None = None
    fingerprint: Fingerprint | None = None
    active: ActiveBuild | None = None
    attempt: Attempt | None = None
    newest: BuildRecord | None = None
    newest_inputs: Mapping[str, str] = field(default_factory=dict)
    newest_generation: int = -1
    history: list[BuildRecord] = field(default_factory=list)
    history_limit: int = 5
    retention_s: float | None = None
    interval_s: float | None = None
    moving: bool = False
    ttl_s: float | None = None
    handled: dict[TokenKind, Handled] = field(default_factory=dict)
    canceling: Handled | None = None
    faults: dict[TokenKind, str] = field(default_factory=dict)
    pinned: bool = False
    healed_log: JournalSummary | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def running(self) -> Attempt | None:
        """The attempt that waits or runs, if one does."""
        attempt = self.attempt
        return attempt if attempt is not None and not attempt.ended.is_set() else None

    @property
    def expires_at(self) -> datetime | None:
        """When the active build is to be built anew; ``None``: never."""
        if self.active is None or self.ttl_s is None:
            return None
        return self.active.expires_at(self.ttl_s)

    def is_expired(self, now: datetime) -> bool:
        """Tell whether the active build has outlived its ttl."""
        return self.expires_at is not None and self.expires_at <= now

    def would_expire(self, build: ActiveBuild, now: datetime) -> bool:
        """Tell whether another build has outlived the ttl."""
        return self.ttl_s is not None and build.expires_at(self.ttl_s) <= now

    def retry_at(self, now: datetime) -> datetime | None:
        """Tell when the newest build is tried again; ``None`` where nothing waits for it."""
        declared = self.fingerprint
        if declared is None or not self._is_declared(self.newest):
            return None
        active = self.active is not None and self.active.fingerprint == declared.value
        return None if active and not self.is_expired(now) else retry_at(self.newest)

    def _is_declared(self, record: BuildRecord | None) -> bool:
        declared = self.fingerprint
        return record is not None and declared is not None and record.fingerprint == declared.value

    def is_due(self, now: datetime) -> bool:
        """Tell whether time alone asks for another look."""
        held = self.running is not None or self.suspended or self.pinned
        if held or self.problem is not None or self.fingerprint is None:
            return False
        retry = self.retry_at(now)
        if retry is not None:
            return retry <= now
        # A rebuild that failed for good is not tried again and again because the old one is old.
        newest = self.newest
        settled = newest is not None and newest.status is not BuildStatus.ACTIVE
        return self.is_expired(now) and not (settled and self._is_declared(newest))

    @property
    def previous(self) -> BuildRecord | None:
        """The build before the newest."""
        return self.history[0] if self.history else None

    def all_records(self) -> list[BuildRecord]:
        """List every build that is known, newest first."""
        return [*([self.newest] if self.newest else []), *self.history]

    def names(self, build_id: BuildId) -> bool:
        """Tell whether a build is remembered, or active."""
        active = self.active is not None and self.active.build_id == build_id
        return active or any(record.id == build_id for record in self.all_records())

    def remember(self, record: BuildRecord) -> list[BuildRecord]:
        """Take an earlier build into history that had been told of nowhere; ids sort by time.

        Returns the records that history has no room for, which may be this one.
        """
        self.history.append(record)
        self.history.sort(key=lambda known: known.id, reverse=True)
        return self.trim_history()

    def owner_of(self, build_id: BuildId) -> LogOwner:
        """Name a build of this config as the owner of its log."""
        return LogOwner(key=self.key, uid=self.uid, build_id=build_id)

    def note_log(self, build_id: BuildId, log: StoredLog) -> None:
        """Remember how the copy of a build's log stands."""
        if self.attempt is not None and self.attempt.record.id == build_id:
            self.attempt.note_log(log)
        if self.newest is not None and self.newest.id == build_id:
            self.newest = replace(self.newest, log=log)
        self.history = [
            replace(record, log=log) if record.id == build_id else record for record in self.history
        ]

    def trim_history(self) -> list[BuildRecord]:
        """Drop what is beyond the limit, but for the active build's record; gives what it was."""
        active = self.active.build_id if self.active is not None else None
        dropped = [row for row in self.history[self.history_limit :] if row.id != active]
        self.history = [row for row in self.history if row not in dropped]
        return dropped

    def begin(self, attempt: Attempt) -> list[BuildRecord]:
        """Make ``attempt`` the newest build; returns the records that history has no room for."""
        if self.newest is not None:
            self.history.insert(0, self.newest)
        forgotten = self.trim_history()
        self.attempt = attempt
        self.newest_generation = self.generation
        self.newest = attempt.record
        self.newest_inputs = attempt.request.fingerprint.inputs
        return forgotten
