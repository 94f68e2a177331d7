"""Which builds belong to which config, and which to none any more."""

from __future__ import annotations

from pathlib import Path

from configbuild.builds.registry import Registry
from configbuild.builds.state import ConfigState
from configbuild.journal import Journals
from tests.unit.examples import KEY, active, build_id, record


def test_build_that_history_dropped_while_it_was_active_is_dropped_once_another_is(
    tmp_path: Path,
) -> None:
    registry = Registry(Journals(tmp_path))
    state = registry.states[KEY] = ConfigState(key=KEY, uid="u")
    state.active = active(build_id=build_id(1))
    state.newest = record(id=build_id(2))
    registry.name(state)
    assert registry.dropped() == []
    state.active = active(build_id=build_id(2))
    assert registry.dropped() == [build_id(1)]


def test_builds_of_a_config_that_is_gone_are_dropped(tmp_path: Path) -> None:
    registry = Registry(Journals(tmp_path))
    state = registry.states[KEY] = ConfigState(key=KEY, uid="u")
    state.newest = record(id=build_id(1))
    registry.name(state)
    del registry.states[KEY]
    assert registry.dropped() == [build_id(1)]
