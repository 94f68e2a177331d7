"""What earlier local builds of a config left in the working directory, and what becomes of it.

::

    <workdir>/venvs/<namespace>/<name>/<ulid>/        verified venvs
    <workdir>/logs/<namespace>/<name>/<ulid>.ndjson   journals
    <workdir>/logs/<namespace>/<name>/.lock           held by the command that builds it
    <workdir>/cache/                                  of the installers, for all configs
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from configbuild.builds.healing import heal
from configbuild.builds.records import record_of
from configbuild.builds.state import ActiveBuild
from configbuild.builds.workshop import Wanted
from configbuild.durations import format_duration
from configbuild.files import file_lock, remove_tree
from configbuild.journal import Journals
from configbuild.layout import LocalLayout
from configbuild.model import BuildId, ConfigKey, Trigger


def default_workdir() -> Path:
    """Find the directory for a person's local builds (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    cache = Path(named) if named.startswith("/") else Path.home() / ".cache"
    return cache / "configbuild" / "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a build is made: as its trigger, in words, and which inputs changed, from what."""

    trigger: Trigger
    words: str
    changed: tuple[str, ...] = ()
    changed_from: Mapping[str, str] = field(default_factory=dict)


class Workdir:
    """The part of a working directory that belongs to one config; its methods block."""

    def __init__(self, root: Path, key: ConfigKey, *, sources: Path) -> None:
        root = root.absolute()
        self.key = key
        self.layout = LocalLayout(
            venvs=root / "venvs",
            logs=root / "logs" / key.namespace / key.name,
            cache=root / "cache",
            sources=sources.absolute(),
        )
        self.journals = Journals(self.layout.logs)

    def lock(self, *, busy: Callable[[], None]) -> AbstractContextManager[None]:
        """Keep other commands from this config; ``busy`` is called if one has to be waited for."""
        return file_lock(self.layout.logs / ".lock", busy=busy)

    def heal(self) -> None:
        """Bring to an end what a command that was killed left unfinished. Under the lock."""
        for build_id in self.journals.ids():
            told = self.journals.summary(build_id)
            if told is None:
                self._remove(build_id)
            elif told.ended is None:
                heal(record_of(told.created), journals=self.journals, layout=self.layout)
                remove_tree(self.layout.build(self.key, build_id).scratch)

    def verified(self) -> list[ActiveBuild]:
        """List the venvs that have a receipt, newest first."""
        found = []
        for build_id in self._venv_ids():
            paths = self.layout.build(self.key, build_id)
            if (build := ActiveBuild.from_receipt(paths, build_id, uid="")) is not None:
                found.append(build)
        return found

    def stands(self, build: ActiveBuild) -> bool:
        """Whether a build's interpreter and journal are still there."""
        return build.usable(self.layout, self.key) and self.journals.exists(build.build_id)

    def trim(self, *, keep: int) -> None:
        """Remove all but the newest ``keep`` verified venvs, and all but as many other journals."""
        verified = [build.build_id for build in self.verified()]
        journals = sorted(self.journals.ids(), reverse=True)
        others = [build_id for build_id in journals if build_id not in verified]
        for build_id in (*verified[keep:], *others[keep:]):
            self._remove(build_id)

    def _remove(self, build_id: BuildId) -> None:
        remove_tree(self.layout.build(self.key, build_id).venv)
        self.journals.remove(build_id)

    def _venv_ids(self) -> list[BuildId]:
        found = []
        for entry in self.layout.config_venvs(self.key).glob("*"):
            try:
                found.append(BuildId.from_ulid(entry.name))
            except ValueError:  # not ours
                continue
        return sorted(found, reverse=True)


def reusable(
    wanted: Wanted, verified: Sequence[ActiveBuild], *, usable: Callable[[ActiveBuild], bool]
) -> ActiveBuild | None:
    """Find the newest build that is what is wanted now, and that can be used."""
    for build in verified:
        current = build.fingerprint == wanted.fingerprint.value and not _expired(wanted, build)
        if current and usable(build):
            return build
    return None


def cause_of_build(wanted: Wanted, verified: Sequence[ActiveBuild], *, force: bool) -> Cause:
    """Say why none is :func:`reusable`, against the newest verified build; or that none may be."""
    if not verified:
        return Cause(trigger=Trigger.INITIAL, words="no verified build yet")
    newest = verified[0]
    changed = wanted.fingerprint.changed_from(dict(newest.inputs))
    if changed:
        words = f"changed since {newest.build_id}: {', '.join(changed)}"
        trees = {"engine": wanted.sources.engine, "config": wanted.sources.config}
        # A requirement stands in the spec; only what a tree holds can change without it.
        only_sources = all(trees.get(name) is not None for name in changed)
        trigger = Trigger.SOURCE_CHANGED if only_sources else Trigger.SPEC_CHANGED
        return Cause(
            trigger=Trigger.FORCED if force else trigger,
            words=words,
            changed=changed,
            changed_from={name: newest.inputs.get(name, "") for name in changed},
        )
    if force:
        return Cause(trigger=Trigger.FORCED, words="asked for with --force")
    if _expired(wanted, newest):
        assert wanted.spec.ttl_s is not None
        words = f"{newest.build_id} is older than spec.ttl ({format_duration(wanted.spec.ttl_s)})"
        return Cause(trigger=Trigger.EXPIRED, words=words)
    return Cause(
        trigger=Trigger.MISSING, words=f"{newest.build_id} has lost its interpreter or its journal"
    )


def _expired(wanted: Wanted, build: ActiveBuild) -> bool:
    ttl_s = wanted.spec.ttl_s
    return ttl_s is not None and datetime.now(UTC) - build.built_at > timedelta(seconds=ttl_s)
