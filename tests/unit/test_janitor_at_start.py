"""Sweeping while statuses are still being read, as after a start with many objects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from configbuild.builds.janitor import Janitor
from configbuild.builds.records import record_of
from configbuild.builds.registry import Registry
from configbuild.builds.retention import Rules, Sweep
from configbuild.builds.state import ConfigState
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildId, ConfigKey
from tests.unit import examples
from tests.unit.examples import CREATED, KEY, build_id

UIDS = {KEY: "uid-of-this-object"}


class Nobody:
    """No pod wears a build's id."""

    async def worn(self, namespace: str) -> set[BuildId] | None:
        return set()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = examples.layout(tmp_path)
    made.venvs.mkdir()
    return made


@pytest.fixture
def journals(layout: Layout) -> Journals:
    return Journals(layout.logs)


@pytest.fixture
def registry(journals: Journals) -> Registry:
    return Registry(journals)


@pytest.fixture
def janitor(registry: Registry, journals: Journals, layout: Layout) -> Janitor:
    return Janitor(
        registry=registry,
        sweep=Sweep(layout=layout, journals=journals, rules=Rules()),
        journals=journals,
        changed=lambda _: None,
        missing=lambda _: None,
    )


@pytest.fixture
def old(journals: Journals) -> BuildId:
    """Leave the journal of a build from before the grace."""
    writer = journals.create(build_id())
    writer.append(replace(CREATED, config_uid=UIDS[KEY]))
    writer.close()
    os.utime(writer.path, (0, 0))
    return build_id()


def sweep(janitor: Janitor, uids: Mapping[ConfigKey, str] = UIDS) -> None:
    asyncio.run(janitor.sweep(uids, namespaces=[KEY.namespace], wearers=Nobody()))


def look_at(registry: Registry) -> ConfigState:
    """Have the config's status read, which names no build."""
    state = registry.states[KEY] = ConfigState(key=KEY, uid=UIDS[KEY])
    return state


def test_journal_of_an_object_that_was_not_looked_at_yet_stays(
    janitor: Janitor, journals: Journals, old: BuildId
) -> None:
    sweep(janitor)
    assert journals.exists(old)
    sweep(janitor, uids={})  # but for being listed it would go
    assert not journals.exists(old)


def test_build_whose_status_is_read_while_journals_are_listed_is_remembered_once(
    janitor: Janitor,
    registry: Registry,
    journals: Journals,
    old: BuildId,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_journals = journals.ids

    def read_status_meanwhile() -> list[BuildId]:
        told = journals.summary(old)
        assert told is not None
        state = look_at(registry)
        state.newest = record_of(told.created)
        registry.name(state)
        return list_journals()

    monkeypatch.setattr(journals, "ids", read_status_meanwhile)
    sweep(janitor)
    assert [row.id for row in registry.states[KEY].all_records()] == [old]
