"""Who runs: at most so many builds at once, the rest in line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from configbuild.builds.attempt import Attempt
from configbuild.builds.queue import FairQueue
from configbuild.model import BuildId

# Whose place in the line is told as it changes. Each end of a build moves everybody who waits, and
# nobody beyond the first few cares by how much.
TOLD_POSITIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many builds run and wait, and since when the one has waited that waits longest."""

    running: int
    waiting: int
    waiting_since: datetime | None


class BuildRunner:
    """Runs attempts while :meth:`run` does.

    ``settled`` is called when an attempt has ended, before anybody who waits for its end goes on;
    ``moved`` for each attempt whose place in the line may have changed.
    """

    def __init__(
        self,
        *,
        max_concurrency: int,
        queue_limit: int,
        settled: Callable[[Attempt], None],
        moved: Callable[[Attempt], None],
    ) -> None:
        self._max_concurrency = max_concurrency
        self._queue: FairQueue[Attempt] = FairQueue(limit=queue_limit)
        self._running: set[Attempt] = set()
        self._settled = settled
        self._moved = moved
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Run attempts until cancelled; then each that runs is ended and has its last event."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._dispatch()
            await asyncio.Event().wait()

    def check_room(self) -> None:
        """Raise :class:`~configbuild.errors.QueueFullError` if no attempt can be taken."""
        self._queue.check_room()

    def submit(self, attempt: Attempt) -> None:
        """Put an attempt in line; it starts at once if there is room."""
        self._queue.put(attempt.request.key.namespace, attempt)
        self._dispatch()

    def end(self, attempt: Attempt, message: str, *, reason: str) -> None:
        """Have an attempt end soon, also one that still waits."""
        attempt.cancel(message, reason=reason)
        if self._queue.discard(attempt.request.key.namespace, attempt):
            # It never ran; running it now writes its end and nothing else.
            self._start(attempt)

    def position(self, build_id: BuildId) -> int | None:
        """Tell how many builds are taken up to this one; ``None`` if it does not wait."""
        for position, attempt in enumerate(self._queue.in_order(), 1):
            if attempt.record.id == build_id:
                return position
        return None

    def load(self) -> Load:
        """Tell how much there is to do."""
        queued = [attempt.record.queued_at for attempt in self._queue.in_order()]
        return Load(
            running=len(self._running),
            waiting=len(queued),
            waiting_since=min(queued, default=None),
        )

    def _dispatch(self) -> None:
        if self._group is None:
            return
        while len(self._running) < self._max_concurrency:
            attempt = self._queue.take()
            if attempt is None:
                break
            self._start(attempt)
        for waiting in islice(self._queue.in_order(), TOLD_POSITIONS):
            self._moved(waiting)

    def _start(self, attempt: Attempt) -> None:
        if self._group is None:
            raise RuntimeError("BuildRunner.run() is not running")
        self._running.add(attempt)
        self._group.create_task(self._carry_out(attempt), name=f"build {attempt.record.id}")

    async def _carry_out(self, attempt: Attempt) -> None:
        try:
            await attempt.run()
        finally:
            self._running.discard(attempt)
            self._settled(attempt)
        self._dispatch()
