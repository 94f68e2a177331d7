"""Take up a config where an earlier process left it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from configbuild.builds.acts import take_down
from configbuild.builds.healing import heal
from configbuild.builds.records import record_of
from configbuild.builds.retention import Kept, kept_venvs
from configbuild.builds.state import ActiveBuild, ConfigState, Declared
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildId, BuildStatus

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What lies on disk: the verified build that is claimed, and builds later than the newest."""

    claimed: ActiveBuild | None
    later: list[Kept]


async def recollect(
    state: ConfigState, declared: Declared, *, journals: Journals, layout: Layout
) -> None:
    """Take over what an earlier process wrote down, put right where it was cut off."""
    last = declared.last_known
    state.active, state.history = last.active, list(last.history)
    state.newest, state.newest_inputs = last.newest, last.newest_inputs
    state.generation = state.newest_generation = last.generation
    state.handled = dict(last.handled)
    if last.generation == -1:
        take_down(state, declared)
    # One visit to a thread for all that most configs need: at a restart thousands come by here.
    found = await asyncio.to_thread(_look, state, layout)
    _correct_pointer(state, found.claimed, layout)
    newest = state.newest
    if newest is not None and not newest.status.ended:
        healed = await asyncio.to_thread(heal, newest, journals=journals, layout=layout)
        state.newest = healed
        state.healed_log = await asyncio.to_thread(journals.summary, healed.id)
        logger.info("build %s was left %s; now %s", newest.id, newest.status, healed.status)
        if healed.status is BuildStatus.ACTIVE:
            paths = layout.build(state.key, healed.id)
            state.active = ActiveBuild.from_receipt(paths, healed.id, state.uid) or state.active
    await _adopt_unnamed(state, found.later, journals, layout)


def _look(state: ConfigState, layout: Layout) -> _Found:
    claimed = _claimed(state)
    newest = state.newest.id if state.newest is not None else ""
    return _Found(
        claimed=ActiveBuild.from_receipt(layout.build(state.key, claimed), claimed, state.uid)
        if claimed is not None
        else None,
        later=kept_venvs(layout.config_venvs(state.key), after=newest),
    )


def _claimed(state: ConfigState) -> BuildId | None:
    """Name the build that the status claims to be active."""
    if state.active is not None:
        return state.active.build_id
    newest = state.newest
    return newest.id if newest is not None and newest.status is BuildStatus.ACTIVE else None


def _correct_pointer(state: ConfigState, found: ActiveBuild | None, layout: Layout) -> None:
    """Believe the receipt rather than the status, which others can write to as well."""
    if found is not None:
        state.active = found
    elif state.active is not None:
        # Gone from the disk: ensure finds it missing. Its path is where it would be, if anywhere.
        paths = layout.build(state.key, state.active.build_id)
        state.active = replace(state.active, venv_path=str(paths.venv))


async def _adopt_unnamed(
    state: ConfigState, later: list[Kept], journals: Journals, layout: Layout
) -> None:
    """Take over a build that was verified while the API server was away, and never named.

    Without this it would be built once more.
    """
    for venv in later:
        if venv.uid != state.uid:
            continue
        told = await asyncio.to_thread(journals.summary, venv.build_id)
        paths = layout.build(state.key, venv.build_id)
        active = ActiveBuild.from_receipt(paths, venv.build_id, state.uid)
        if active is None or told is None or told.ended is None:
            continue
        if state.newest is not None:
            state.remember(state.newest)
        state.newest = replace(
            record_of(told.created, [told.ended]), fingerprint=active.fingerprint
        )
        state.active, state.newest_inputs = active, active.inputs
        logger.info("%s of %s was verified and never named; taken over", active.build_id, state.key)
