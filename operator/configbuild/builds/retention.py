"""What of earlier builds is kept, and what of configs that are gone is swept away.

Deciding is pure, so that it can be read and tested without a disk; :class:`Sweep` carries it out.

* A venv is kept while it is active, while its record is remembered (so that it can be activated
  again), for ``keep_replaced_s`` after another took its place, and while a pod wears its build id.
* Records are remembered by count (as builds come) and by age; a journal goes with its record.
* What belongs to no object (its object was deleted while the operator was down) goes after a grace,
  and only after a complete list of all objects has been seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from configbuild.builds.records import BuildRecord
from configbuild.builds.state import ActiveBuild, ConfigState
from configbuild.files import remove_tree
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildId, BuildStatus, ConfigKey
from configbuild.receipt import read_receipt

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A venv on disk: its build, and when it was verified (``None``: it was not)."""

    build_id: BuildId
    uid: str
    verified: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long things are kept, in seconds."""

    keep_replaced_s: float = 24 * 3600.0
    orphan_grace_s: float = 3600.0


def outdated(state: ConfigState, now: datetime) -> list[BuildRecord]:
    """List the remembered builds that are older than the config's retention."""
    if state.retention_s is None:
        return []
    limit = now - timedelta(seconds=state.retention_s)
    active = state.active.build_id if state.active else None
    return [
        record
        for record in state.history
        if record.id != active and (record.finished_at or record.queued_at) < limit
    ]


def removable(
    state: ConfigState, kept: Collection[Kept], *, now: datetime, rules: Rules
) -> list[BuildId]:
    """List the venvs of a config that nothing but a pod could still hold."""
    held = {record.id for record in state.all_records() if record.status is BuildStatus.ACTIVE}
    if state.active is not None:
        held.add(state.active.build_id)
    if state.running is not None:
        held.add(state.running.record.id)
    return [
        venv.build_id
        for venv in kept
        if venv.build_id not in held and _is_old(venv, kept, now=now, rules=rules)
    ]


def _is_old(venv: Kept, kept: Collection[Kept], *, now: datetime, rules: Rules) -> bool:
    if venv.verified is None:
        return True
    # Another took its place when the next one was verified; if none was, it was rolled back from.
    later = [v.verified for v in kept if v.verified is not None and v.verified > venv.verified]
    return bool(later) and now - min(later) >= timedelta(seconds=rules.keep_replaced_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Reads and removes what lies on disk. Blocking: run its methods in a thread."""

    layout: Layout
    journals: Journals
    rules: Rules

    def kept(self, key: ConfigKey) -> list[Kept]:
        """List the venvs of a config."""
        return kept_venvs(self.layout.config_venvs(key))

    def remove(self, key: ConfigKey, build_id: BuildId) -> None:
        """Remove a venv."""
        logger.info("removing the venv of %s (%s)", build_id, key)
        remove_tree(self.layout.build(key, build_id).venv)

    def orphaned_venvs(
        self, uids: Mapping[ConfigKey, str], namespaces: Collection[str]
    ) -> list[Path]:
        """List the venvs of objects that are not among ``uids`` and have been so for the grace.

        ``namespaces`` are those that were listed, empty for all; others are not looked at.
        """
        found = []
        for key in self._configs_on_disk(namespaces):
            for path, build_id in _builds_in(self.layout.config_venvs(key)):
                if self._is_past_grace(path) and not _belongs(path, build_id, uids.get(key)):
                    found.append(path)
        return found

    def unknown_journals(self, known: Collection[BuildId]) -> list[BuildId]:
        """List the journals of builds that nothing has remembered for the grace."""
        return [
            build_id
            for build_id in self.journals.ids()
            if build_id not in known
            and not self.journals.is_live(build_id)
            and self._is_past_grace(self.journals.path(build_id))
        ]

    def _configs_on_disk(self, namespaces: Collection[str]) -> Iterator[ConfigKey]:
        for namespace in _folders(self.layout.venvs):
            if not namespaces or namespace.name in namespaces:
                for name in _folders(namespace):
                    yield ConfigKey(namespace.name, name.name)

    def _is_past_grace(self, path: Path) -> bool:
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - changed > self.rules.orphan_grace_s


def _belongs(path: Path, build_id: BuildId, uid: str | None) -> bool:
    """Tell whether a venv is of the object with ``uid``; one without a receipt may be."""
    return uid is not None and _kept(path, build_id).uid in ("", uid)


def kept_venvs(folder: Path, *, after: str = "") -> list[Kept]:
    """List the venvs in a config's folder, oldest first; those of builds after ``after`` only."""
    return [_kept(path, build_id) for path, build_id in _builds_in(folder) if build_id > after]


def kept_build(state: ConfigState, fingerprint: str, *, layout: Layout) -> ActiveBuild | None:
    """Find the latest verified build of this very object that has a fingerprint. Blocking.

    Only among those that are remembered: the log of another is gone, or soon will be.
    """
    for venv in reversed(kept_venvs(layout.config_venvs(state.key))):
        if venv.uid != state.uid or not state.names(venv.build_id):
            continue
        paths = layout.build(state.key, venv.build_id)
        found = ActiveBuild.from_receipt(paths, venv.build_id, state.uid)
        if found and found.fingerprint == fingerprint and found.usable(layout, state.key):
            return found
    return None


def _kept(path: Path, build_id: BuildId) -> Kept:
    receipt = read_receipt(path / "ade-runtime" / "build.json") or {}
    verified = receipt.get("verified")
    return Kept(
        build_id=build_id,
        uid=receipt.get("uid", ""),
        verified=datetime.fromisoformat(verified) if verified else None,
    )


def _builds_in(folder: Path) -> Iterator[tuple[Path, BuildId]]:
    for path in _folders(folder):
        try:
            yield path, BuildId.from_ulid(path.name)
        except ValueError:
            continue


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder, none that is hidden; none at all if it is not there."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except FileNotFoundError:
        return []
