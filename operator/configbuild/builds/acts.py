"""The acts that annotations ask for, done once each; see :mod:`configbuild.builds.tokens`.

All of this happens under the config's lock, as a part of ensure.
"""

from __future__ import annotations

import asyncio
import logging

from configbuild.builds.runner import BuildRunner
from configbuild.builds.state import ActiveBuild, ConfigState, Declared
from configbuild.builds.tokens import Handled, TokenKind, Tokens, read_tokens
from configbuild.layout import Layout
from configbuild.model import BuildId

logger = logging.getLogger(__name__)


def take_down(state: ConfigState, declared: Declared) -> None:
    """Have the tokens of an object that is seen for the first time count as handled."""
    for kind, token in read_tokens(declared.annotations).values.items():
        state.handled[kind] = Handled(token=token, generation=declared.generation)


async def follow_tokens(
    state: ConfigState, declared: Declared, *, runner: BuildRunner, layout: Layout
) -> dict[TokenKind, str]:
    """Cancel and activate where that is asked for; returns the tokens that ask for a build.

    What cannot be followed is noted in the state's ``faults`` and changes nothing.
    """
    tokens = read_tokens(declared.annotations)
    state.faults = dict(tokens.faults)
    if TokenKind.ACTIVATE.annotation not in declared.annotations:
        # A choice that was taken back may be made again, and it has no other token than the id.
        state.handled.pop(TokenKind.ACTIVATE, None)
    due = tokens.due(state.handled)
    if (token := due.pop(TokenKind.CANCEL, None)) is not None:
        await _cancel(state, declared, token, runner)
    if (token := due.pop(TokenKind.ACTIVATE, None)) is not None:
        await _activate(state, declared, token, layout)
    state.pinned = _is_pinned(state, declared, tokens)
    return due


async def _cancel(state: ConfigState, declared: Declared, token: str, runner: BuildRunner) -> None:
    running = state.running
    handled = Handled(
        token=token,
        generation=declared.generation,
        build_id=running.record.id if running is not None else None,
    )
    if running is not None:
        state.canceling = handled
        annotation = TokenKind.CANCEL.annotation
        runner.end(running, f"canceled by {annotation}: {token}", reason="Canceled")
        await running.ended.wait()
    state.handled[TokenKind.CANCEL] = handled


async def _activate(state: ConfigState, declared: Declared, token: str, layout: Layout) -> None:
    """Move the pointer to a verified build of this very object, if it is kept."""
    build_id = BuildId.parse(token)
    paths = layout.build(state.key, build_id)
    chosen = await asyncio.to_thread(ActiveBuild.from_receipt, paths, build_id, state.uid)
    if chosen is None or not await asyncio.to_thread(chosen.usable, layout, state.key):
        state.faults[TokenKind.ACTIVATE] = (
            f"{TokenKind.ACTIVATE.annotation}: {build_id} is no build of this ConfigBuild that was"
            " verified and is kept; nothing was changed"
        )
        return
    state.active = chosen
    state.handled[TokenKind.ACTIVATE] = Handled(
        token=token, generation=declared.generation, build_id=build_id
    )
    logger.info("%s of %s activated by annotation", build_id, state.key)


def _is_pinned(state: ConfigState, declared: Declared, tokens: Tokens) -> bool:
    """Tell whether a person's choice still stands: until the token goes or the spec changes."""
    chosen = state.handled.get(TokenKind.ACTIVATE)
    return (
        chosen is not None
        and chosen.build_id is not None
        and chosen.token == tokens.values.get(TokenKind.ACTIVATE)
        and chosen.generation == declared.generation
        and state.active is not None
        and state.active.build_id == chosen.build_id
    )
