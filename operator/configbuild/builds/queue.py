"""Who is next: waiting builds, served in turn between namespaces. No I/O, no tasks."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from configbuild.errors import QueueFullError

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First in, first out within a namespace; namespaces take turns.

    So a namespace with a thousand waiting builds delays another's single one by one build at most.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    def check_room(self) -> None:
        """Raise :class:`QueueFullError` if nobody may join any more."""
        if len(self) >= self._limit:
            raise QueueFullError(
                f"{self._limit} builds wait already (ADE_QUEUE_LIMIT); try again later"
            )

    def put(self, namespace: str, item: T) -> None:
        """Add an item to its namespace's line; :class:`QueueFullError` beyond the limit."""
        self.check_room()
        self._waiting.setdefault(namespace, deque()).append(item)

    def take(self) -> T | None:
        """Remove and return who is next; ``None`` if nobody waits."""
        for namespace, line in self._waiting.items():
            item = line.popleft()
            # Its next one has its turn after everybody else's.
            del self._waiting[namespace]
            if line:
                self._waiting[namespace] = line
            return item
        return None

    def discard(self, namespace: str, item: T) -> bool:
        """Take an item out of the line; whether it was there."""
        line = self._waiting.get(namespace)
        if line is None or item not in line:
            return False
        line.remove(item)
        if not line:
            del self._waiting[namespace]
        return True

    def in_order(self) -> Iterator[T]:
        """Yield the items as they would be taken if nobody else came."""
        lines = [deque(line) for line in self._waiting.values()]
        while lines:
            for line in lines:
                yield line.popleft()
            lines = [line for line in lines if line]
