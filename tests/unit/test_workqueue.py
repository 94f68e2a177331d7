"""Keys to work on: each once in line, by one worker at a time, and none forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from configbuild.kube.workqueue import WorkQueue

Handle = Callable[[str], Awaitable[None]]


class Worker:
    """Notes each key that it is given, and holds on to it until it is let go."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.running: list[str] = []
        self._go = asyncio.Semaphore(0)

    async def __call__(self, key: str) -> None:
        assert key not in self.running
        self.running.append(key)
        self.begun.put_nowait(key)
        await self._go.acquire()
        self.running.remove(key)

    def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            self._go.release()

    async def next(self) -> str:
        async with asyncio.timeout(5):
            return await self.begun.get()


@asynccontextmanager
async def working(queue: WorkQueue[str], handle: Handle, workers: int = 1) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(queue.work(handle)) for _ in range(workers)]
        yield
        for task in tasks:
            task.cancel()


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_keys_are_worked_on_in_their_order() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        worker.let_go(3)
        for key in "bac":
            queue.add(key)
        async with working(queue, worker):
            assert [await worker.next() for _ in range(3)] == ["b", "a", "c"]

    asyncio.run(main())


def test_key_is_in_line_only_once() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        worker.let_go(9)
        for key in "aaba":
            queue.add(key)
        async with working(queue, worker):
            assert [await worker.next() for _ in range(2)] == ["a", "b"]
            await settle()
            assert worker.begun.empty()

    asyncio.run(main())


def test_key_that_is_added_while_it_is_worked_on_comes_again_once_and_afterwards() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        async with working(queue, worker, workers=3):
            queue.add("a")
            assert await worker.next() == "a"
            queue.add("a")
            queue.add("a")
            await settle()
            assert worker.running == ["a"]
            assert worker.begun.empty()

            worker.let_go()
            assert await worker.next() == "a"
            worker.let_go()
            await settle()
            assert worker.running == []
            assert worker.begun.empty()

    asyncio.run(main())


def test_different_keys_are_worked_on_at_the_same_time_by_as_many_workers() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        async with working(queue, worker, workers=2):
            for key in "abc":
                queue.add(key)
            assert {await worker.next(), await worker.next()} == {"a", "b"}
            await settle()
            assert worker.begun.empty()
            worker.let_go()
            assert await worker.next() == "c"

    asyncio.run(main())


def test_delayed_key_is_worked_on_after_its_delay() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        loop = asyncio.get_running_loop()
        async with working(queue, worker):
            due = loop.time() + 0.05
            queue.add_after("a", 0.05)
            await settle()
            assert worker.begun.empty()
            assert await worker.next() == "a"
            assert loop.time() >= due - 0.01

    asyncio.run(main())


@pytest.mark.parametrize("delays", [(3600, 0.01), (0.01, 3600)], ids=["later", "earlier"])
def test_of_two_delays_the_earlier_counts(delays: tuple[float, float]) -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        worker.let_go(9)
        async with working(queue, worker):
            for delay_s in delays:
                queue.add_after("a", delay_s)
            assert await worker.next() == "a"

    asyncio.run(main())


def test_key_can_be_delayed_again_after_its_delay() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        worker.let_go(9)
        async with working(queue, worker):
            for _ in range(2):
                queue.add_after("a", 0)
                assert await worker.next() == "a"

    asyncio.run(main())


def test_worker_that_never_has_to_wait_lets_others_have_their_turn() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        done: list[str] = []

        async def note(key: str) -> None:
            done.append(key)

        for key in "abc":
            queue.add(key)
        async with working(queue, note):
            await asyncio.sleep(0)
            assert done == ["a"]

    asyncio.run(main())


def test_worker_that_fails_leaves_its_key_to_others() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()

        async def fail(key: str) -> None:
            queue.add(key)
            raise ValueError(key)

        queue.add("a")
        with pytest.raises(ValueError, match="a"):
            await queue.work(fail)

        worker = Worker()
        async with working(queue, worker):
            assert await worker.next() == "a"

    asyncio.run(main())


def test_cancelled_worker_leaves_its_key_to_others() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        first, second = Worker(), Worker()
        async with working(queue, first):
            queue.add("a")
            await first.next()
        queue.add("a")
        async with working(queue, second):
            assert await second.next() == "a"

    asyncio.run(main())


def test_queue_is_drained_when_no_key_waits_or_is_worked_on() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        worker = Worker()
        await queue.drained()
        queue.add("a")
        async with working(queue, worker):
            drained = asyncio.create_task(queue.drained())
            await worker.next()
            # It changes while it is worked on: it comes again, and only then nothing is left.
            queue.add("a")
            worker.let_go()
            await worker.next()
            await settle()
            assert not drained.done()
            worker.let_go()
            async with asyncio.timeout(5):
                await drained

    asyncio.run(main())
