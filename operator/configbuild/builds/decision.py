"""The rules of ensure: given what is declared and what there is, which build runs, if any. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from configbuild import failures
from configbuild.builds.records import BuildRecord
from configbuild.fingerprint import Fingerprint
from configbuild.model import BuildStatus, Trigger
from configbuild.outcome import HINDRANCES

# Reasons of builds that ended though nothing was wrong with them.
OPERATOR_SHUTDOWN = "OperatorShutdown"
INTERRUPTED = "Interrupted"
SUPERSEDED = "Superseded"
SOURCE_CHANGED = "SourceChanged"

# Reasons of failures that may pass without anybody changing the spec.
TRANSIENT = failures.TRANSIENT | {"SourceUnavailable", "LauncherFailed", "JournalFailed"}

_BACKOFF_S = (30, 60, 120, 240, 480)


class Verdict(Enum):
    """What ensure does."""

    REUSE = auto()
    """The active build is what is declared."""
    RESTORE = auto()
    """An earlier build that is kept is what is declared (again): the pointer moves back to it."""
    NOTHING = auto()
    """The newest build of this fingerprint ended without success; trying again would not help."""
    JOIN = auto()
    """The running build is what is declared."""
    BUILD = auto()
    """Queue a new build; one that runs is superseded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision rests on.

    ``active_fingerprint`` is ``None`` without an active build; ``active_usable`` says whether it
    stands on disk, ``active_expired`` whether it has outlived its ttl; ``pinned`` that a person
    chose it. ``kept``: another verified build on disk is what is declared, and has not outlived its
    ttl. ``known_inputs`` are those of the active or else the newest build. ``retry_due``: the
    newest build failed for a passing reason, and has waited long enough. ``hindrances``: those
    of :data:`.HINDRANCES` that keep this operator from making any build.
    """

    declared: Fingerprint
    generation_changed: bool
    active_fingerprint: str | None
    active_usable: bool
    active_expired: bool = False
    pinned: bool = False
    kept: bool = False
    known_inputs: dict[str, str]
    running: BuildRecord | None
    newest: BuildRecord | None
    previous: BuildRecord | None = None
    retry_due: bool = False
    hindrances: frozenset[str] = frozenset()
    force: bool = False
    requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict; with :attr:`Verdict.BUILD`, why, and which inputs changed, from what."""

    verdict: Verdict
    trigger: Trigger | None = None
    changed: tuple[str, ...] = ()
    changed_from: Mapping[str, str] = field(default_factory=dict)


def decide(facts: Facts) -> Decision:
    """Apply the four rules of ensure in their order."""
    declared = facts.declared.value
    running = facts.running
    expired = facts.active_expired
    if not facts.force:
        if facts.pinned and facts.active_usable:
            return Decision(verdict=Verdict.REUSE)
        if running is not None and running.fingerprint == declared:
            return Decision(verdict=Verdict.JOIN)
        if facts.active_fingerprint == declared and facts.active_usable and not expired:
            return Decision(verdict=Verdict.REUSE)
        if running is None and not facts.requested and _is_settled(facts):
            return Decision(verdict=Verdict.NOTHING)
        if facts.kept and not _ended_badly(facts):
            return Decision(verdict=Verdict.RESTORE)
    changed = facts.declared.changed_from(facts.known_inputs) if facts.known_inputs else ()
    return Decision(
        verdict=Verdict.BUILD,
        trigger=_trigger(facts, changed),
        changed=changed,
        changed_from={name: facts.known_inputs.get(name, "") for name in changed},
    )


def is_due_again(newest: BuildRecord, previous: BuildRecord | None) -> bool:
    """Tell whether a build that ended badly is to be tried again by itself.

    So it is where nothing was wrong with the build; not where the operator died twice in a row
    while it ran, since the build itself may be what ends the operator.
    """
    if newest.reason == INTERRUPTED:
        if newest.trigger is not Trigger.INTERRUPTED:
            return True
        return previous is not None and previous.reason != INTERRUPTED
    return newest.reason in (OPERATOR_SHUTDOWN, SUPERSEDED, SOURCE_CHANGED)


def retry_at(newest: BuildRecord | None) -> datetime | None:
    """Tell when a build that failed for a passing reason is tried again; ``None``: not by itself.

    After 30 s, 1, 2, 4 and 8 minutes; five times at most, so that what does not pass is said.
    """
    if newest is None or newest.finished_at is None or newest.reason not in TRANSIENT:
        return None
    if newest.attempt > len(_BACKOFF_S):
        return None
    return newest.finished_at + timedelta(seconds=_BACKOFF_S[newest.attempt - 1])


def _is_settled(facts: Facts) -> bool:
    """Whether the newest build of this fingerprint ended badly for a reason that stays."""
    newest = facts.newest
    if newest is None or not _ended_badly(facts):
        return False
    if newest.reason in HINDRANCES:
        return newest.reason in facts.hindrances
    return not is_due_again(newest, facts.previous) and not facts.retry_due


def _ended_badly(facts: Facts) -> bool:
    """Whether the newest build is of this fingerprint and was not verified."""
    newest = facts.newest
    return (
        newest is not None
        and newest.fingerprint == facts.declared.value
        and newest.status in (BuildStatus.FAILED, BuildStatus.CANCELED)
    )


def _trigger(facts: Facts, changed: tuple[str, ...]) -> Trigger:
    newest = facts.newest
    if facts.force:
        return Trigger.FORCED
    if newest is not None and newest.fingerprint == facts.declared.value:
        return _trigger_of_repeat(facts, newest)
    if facts.active_fingerprint == facts.declared.value:
        return _trigger_of_renewal(facts)
    if newest is None:
        return Trigger.INITIAL
    only_sources = bool(changed) and set(changed) <= {"config", "engine"}
    moved = only_sources and not facts.generation_changed
    return Trigger.SOURCE_CHANGED if moved else Trigger.SPEC_CHANGED


def _trigger_of_repeat(facts: Facts, newest: BuildRecord) -> Trigger:
    if newest.reason in (INTERRUPTED, OPERATOR_SHUTDOWN):
        return Trigger.INTERRUPTED
    if facts.requested:
        return Trigger.REQUESTED
    if facts.retry_due or newest.reason in HINDRANCES:
        return Trigger.RETRY
    if facts.active_fingerprint == facts.declared.value:
        return _trigger_of_renewal(facts)
    return Trigger.SPEC_CHANGED


def _trigger_of_renewal(facts: Facts) -> Trigger:
    return Trigger.EXPIRED if facts.active_usable else Trigger.MISSING
