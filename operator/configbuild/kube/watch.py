"""kopf: watches the objects and hands every event over.

kopf runs in a thread with an event loop of its own. It takes every task of its loop for its own and
ends them all when it stops, and a burst of thousands of events at a restart would hold up whoever
shares its loop; apart from the one call that hands an event over, nothing is shared.

Event handlers (``@kopf.on.event``) write nothing, keep no state in annotations and set no
finalizer: docs/decisions says why.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from configbuild.kube.connection import load_connection
from configbuild.resource import GROUP, PLURAL, VERSION


class NothingCompared(kopf.DiffBaseStorage):
    """Keeps kopf from comparing an object with what it was, which event handlers never ask for.

    kopf would do so all the same, and copy every object whole for it at every event.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """Make the part of an object that is compared: none."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Look up what was stored of an object: nothing."""
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


Observe = Callable[[dict[str, Any], bool], None]
"""Takes an object's body, and whether it was deleted; called in the loop that was given."""


def watch_settings() -> kopf.OperatorSettings:
    """Make kopf's settings; the numbers are from measurements against a real API server."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = NothingCompared()
    # Every object seen has a task and its body in memory for so long, thousands after a list.
    settings.queueing.idle_timeout = 1
    # Scanning would need rights to CustomResourceDefinitions, which a namespaced role has not.
    settings.scanning.disabled = True
    # A thread cannot be ended by a signal; the process has its own deadline for that.
    settings.process.ultimate_exiting_timeout = None
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.enforce_retry_after = True
    return settings


class Watcher:
    """Runs kopf until told to stop; its failure is the operator's.

    ``observe`` is called in the event loop that :meth:`run` runs in.
    """

    def __init__(self, *, namespaces: Sequence[str], observe: Observe) -> None:
        self._namespaces = namespaces
        self._observe = observe
        self._stop = threading.Event()
        self.ready = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled; raises what ended kopf, which never ends by itself otherwise."""
        loop = asyncio.get_running_loop()
        # A line "handler succeeded" per event says nothing and costs seconds at 5,000 objects.
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)
        # Warns at each start that a thread gets no signals, which is how it is meant to be.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        ended = loop.create_future()
        thread = threading.Thread(
            target=self._run_kopf, args=(loop, ended), name="kopf", daemon=True
        )
        thread.start()
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait({ended}, timeout=_STOP_TIMEOUT_S)
            raise
        raise RuntimeError("kopf ended without an error and without being told to")

    def _run_kopf(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        try:
            asyncio.run(self._kopf(loop))
        except BaseException as error:  # noqa: BLE001 - handed over to whoever awaits run()
            _hand_over(loop, ended, error)
        else:
            _hand_over(loop, ended, None)

    async def _kopf(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await kopf.operator(
                registry=self._registry(loop),
                settings=watch_settings(),
                clusterwide=not self._namespaces,
                namespaces=list(self._namespaces),
                stop_flag=self._stop,
                ready_flag=self.ready,
            )
        finally:
            # kopf waits for the flag in a thread of the loop's executor, which asyncio.run joins:
            # without this, an operator whose kopf has died would live on.
            self._stop.set()

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        refused: str | None = None

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            # kopf logs in again only after the API server has refused a token (401). Given the same
            # one again it ends, or hangs for ever; until there is another, it has to wait.
            nonlocal refused
            connection = (await load_connection()).info
            if connection.token is not None and connection.token == refused:
                raise kopf.TemporaryError("waiting for a new token", delay=_TOKEN_RETRY_S)
            refused = connection.token
            return connection

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def event(event: kopf.RawEvent, **_: Any) -> None:
            body = dict(event["object"])
            loop.call_soon_threadsafe(self._observe, body, event["type"] == "DELETED")

        return registry


# A kubelet renews a token's file minutes before the old one ends; asking costs one small read.
_TOKEN_RETRY_S = 3.0

# kopf waits 5 s for its tasks and then cancels them.
_STOP_TIMEOUT_S = 8.0


def _hand_over(
    loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None], error: BaseException | None
) -> None:
    def finish() -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    if not loop.is_closed():
        loop.call_soon_threadsafe(finish)
