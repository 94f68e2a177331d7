"""Journals that no status names: whose they are, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from configbuild.builds.janitor import Janitor
from configbuild.builds.registry import Registry
from configbuild.builds.retention import Rules, Sweep
from configbuild.builds.state import ConfigState
from configbuild.journal import Journals
from configbuild.model import BuildId, ConfigKey
from tests.unit.examples import CREATED, KEY, build_id, layout

UID = "uid-of-this-object"


class NobodyWears:
    async def worn(self, namespace: str) -> set[BuildId]:
        return set()


def sweep(root: Path, *, journal_of: str) -> tuple[ConfigState, Journals]:
    """Sweep with one journal on disk, of an object with the uid ``journal_of``."""
    journals = Journals(layout(root).logs)
    writer = journals.create(build_id())
    writer.append(replace(CREATED, config_uid=journal_of))
    writer.close()
    os.utime(writer.path, (0, 0))
    layout(root).venvs.mkdir()
    registry = Registry(journals)
    state = registry.states[KEY] = ConfigState(key=KEY, uid=UID)
    changed: list[ConfigKey] = []
    janitor = Janitor(
        registry=registry,
        sweep=Sweep(layout=layout(root), journals=journals, rules=Rules()),
        journals=journals,
        changed=changed.append,
        missing=lambda _: None,
    )
    asyncio.run(janitor.sweep({KEY: UID}, namespaces=[], wearers=NobodyWears()))
    assert bool(changed) is bool(state.history)
    return state, journals


def test_unnamed_journal_of_this_object_enters_its_history_with_an_end(tmp_path: Path) -> None:
    state, journals = sweep(tmp_path, journal_of=UID)
    assert [(record.id, record.reason) for record in state.history] == [
        (build_id(), "OperatorShutdown")
    ]
    told = journals.summary(build_id())
    assert told is not None
    assert told.ended is not None


def test_journal_of_an_earlier_object_of_the_name_is_removed(tmp_path: Path) -> None:
    state, journals = sweep(tmp_path, journal_of="uid-of-a-deleted-object")
    assert state.history == []
    assert not journals.exists(build_id())


def test_journal_from_before_uids_were_written_belongs_to_the_name(tmp_path: Path) -> None:
    state, _ = sweep(tmp_path, journal_of="")
    assert len(state.history) == 1


class LateSweep(Sweep):
    """Lists a journal that a build begins at the same moment."""

    def unknown_journals(self, known: Collection[BuildId]) -> list[BuildId]:
        self.journals.create(build_id())
        return [build_id()]


def test_journal_that_begins_while_journals_are_listed_stays(tmp_path: Path) -> None:
    journals = Journals(layout(tmp_path).logs)
    layout(tmp_path).venvs.mkdir()
    janitor = Janitor(
        registry=Registry(journals),
        sweep=LateSweep(layout=layout(tmp_path), journals=journals, rules=Rules()),
        journals=journals,
        changed=lambda _: None,
        missing=lambda _: None,
    )
    asyncio.run(janitor.sweep({}, namespaces=[], wearers=NobodyWears()))
    assert journals.writer(build_id()) is not None
    assert journals.exists(build_id())
