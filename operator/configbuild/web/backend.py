"""What the routes work with, and how they get at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from configbuild.builds.ask import Ask, Ensured
from configbuild.builds.records import BuildRecord
from configbuild.builds.state import ConfigState
from configbuild.journal import Journals
from configbuild.model import BuildId, ConfigKey
from configbuild.web.access import Access


class BuildService(Protocol):
    """The part of :class:`configbuild.builds.service.Builds` that HTTP needs."""

    async def ensure(self, key: ConfigKey, ask: Ask) -> Ensured:
        """See to it that a config has its build; see :meth:`Builds.ensure` for what it raises."""

    async def find(self, build_id: BuildId) -> BuildRecord | None:
        """Look up a build."""

    async def wait(self, build_id: BuildId) -> None:
        """Wait until a build has ended and its config points to it."""

    async def cancel(self, build_id: BuildId, message: str) -> BuildRecord:
        """End a build; :class:`~configbuild.errors.NotFoundError` if there is none."""

    def state(self, key: ConfigKey) -> ConfigState | None:
        """Look up what is known of a config."""

    def queue_position(self, build_id: BuildId) -> int | None:
        """Tell how many builds are taken up to this one; ``None`` if it does not wait."""


async def at_once(_: BuildRecord) -> None:
    """Have nothing to write down: there is no cluster."""


def no_copy(_: BuildRecord, __: int = 0) -> AsyncGenerator[bytes, None] | None:
    """Have no log store."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What stands behind the routes.

    ``recorded`` returns once a new build is written down where a restart finds it (status in the
    cluster); only then is a client told of it. ``ready`` lists what is still missing before builds
    can be made, ``warnings`` what is not as it should be though they can. ``copy`` reads the copy
    of a build's log after a cursor, where there is one; see
    :meth:`configbuild.builds.copies.LogCopies.read`. ``access`` asks who callers are and what they
    may do; without it everybody may do everything. ``stopping`` is set when the server ends:
    streams then end by themselves.
    """

    service: BuildService
    journals: Journals
    registry: CollectorRegistry
    access: Access | None = None
    ready: Callable[[], list[str]] = list
    recorded: Callable[[BuildRecord], Awaitable[None]] = at_once
    copy: Callable[[BuildRecord, int], AsyncGenerator[bytes, None] | None] = no_copy
    ensure_wait_s: float = 30.0
    heartbeat_s: float = 15.0
    warnings: Callable[[], list[str]] = list
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def settled(self, build_id: BuildId) -> None:
        """Wait for a build's end, for :attr:`ensure_wait_s` at most and not beyond our own end."""
        ends = {
            asyncio.create_task(self.service.wait(build_id)),
            asyncio.create_task(self.stopping.wait()),
        }
        try:
            await asyncio.wait(
                ends, timeout=self.ensure_wait_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


def _backend(request: Request) -> Backend:
    backend = request.app.state.backend
    assert isinstance(backend, Backend)
    return backend


BackendOf = Annotated[Backend, Depends(_backend)]
