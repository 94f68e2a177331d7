"""Answers that are kept for a while, so that the same question is not asked for each request."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Question(Generic[V]):
    """One that is being asked, for so many who wait for its answer."""

    task: asyncio.Task[V]
    waiting: int = 0


class Answers(Generic[K, V]):
    """Asks each question once at a time, and keeps what was answered; errors are not kept.

    An answer that is true in the sense of Python is a yes. Yes and no have rooms of their own, so
    that somebody who asks for much that is refused does not drive out what others were granted.
    """

    def __init__(
        self,
        *,
        yes_s: float,
        no_s: float,
        limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep for so many seconds, and ``limit`` answers of each kind at most."""
        self._keep_s = {True: yes_s, False: no_s}
        self._limit = limit
        self._clock = clock
        self._kept: dict[bool, OrderedDict[K, tuple[V, float]]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._questions: dict[K, _Question[V]] = {}

    async def get(
        self, key: K, ask: Callable[[], Awaitable[V]], *, at_most_s: float = math.inf
    ) -> V:
        """Give the answer that is kept, or ask; ``at_most_s`` bounds how long it is kept.

        Raises what ``ask`` raises. Cancelling the last who waits cancels the question.
        """
        for kept in self._kept.values():
            if key in kept and self._clock() < kept[key][1]:
                kept.move_to_end(key)
                return kept[key][0]
        question = self._questions.get(key)
        if question is None:
            question = _Question(asyncio.create_task(self._ask(key, ask, at_most_s)))
            self._questions[key] = question
        question.waiting += 1
        try:
            return await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
            if question.waiting == 0:
                self._questions.pop(key, None)
                question.task.cancel()

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]], at_most_s: float) -> V:
        answer = await ask()
        is_yes = bool(answer)
        self._kept[not is_yes].pop(key, None)
        kept = self._kept[is_yes]
        kept[key] = (answer, self._clock() + min(self._keep_s[is_yes], at_most_s))
        kept.move_to_end(key)
        while len(kept) > self._limit:
            kept.popitem(last=False)
        return answer
