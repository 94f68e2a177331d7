"""Followers of a journal: every byte once, whenever they come, however slow they are."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import ExitStack, aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from configbuild.events import line_id
from configbuild.journal import Journals, JournalWriter
from configbuild.journal.progress import WAKE_INTERVAL_S, WAKES_PER_S, Progress
from configbuild.lines import Lines
from configbuild.model import BuildId

from .test_journal import BUILD, COMPLETED, CREATED, STEP, encoder, lines_of, log

DEADLINE_S = 60  # for what would otherwise hang if a wake-up were lost


def run(main: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await main

    asyncio.run(in_time())


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


@pytest.fixture
def writer(journals: Journals) -> Iterator[JournalWriter]:
    with closing(journals.create(BUILD)) as writer:
        yield writer


def write(writer: JournalWriter, count: int, *, message: str = "x" * 60) -> None:
    writer.append_lines(encoder(), [Lines([message] * count, continued=False)])


async def collect(blocks: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([block async for block in blocks])


def expected(writer: JournalWriter, after_id: int) -> bytes:
    lines = lines_of(writer.path)
    return b"".join(line for line in lines if line_id(line) > after_id) or lines[-1]


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_follower_gets_every_byte_from_any_cursor_once(
    journals: Journals, writer: JournalWriter, when: str
) -> None:
    total = 122
    started = threading.Semaphore(0)

    def write_on() -> None:
        writer.append(CREATED)
        for number in range(total - 2):
            started.acquire()  # the next event is written as the next follower starts
            writer.append(log(f"{number}")) if number % 3 else write(writer, 1)
        writer.append(COMPLETED)

    async def main() -> None:
        if when == "after":
            started.release(total)
            await asyncio.to_thread(write_on)
        thread = asyncio.create_task(asyncio.to_thread(write_on)) if when != "after" else None
        followers = []
        for after_id in range(total + 3):
            blocks = journals.follow(BUILD, after_id, follow=True)
            followers.append(asyncio.create_task(collect(blocks)))
            if when == "during":
                started.release()
                await asyncio.sleep(0)
        started.release(total)
        if thread:
            await thread
        for after_id, follower in enumerate(followers):
            assert await follower == expected(writer, after_id)

    run(main())
    assert writer.last_id == total


def test_without_follow_there_is_what_there_is(journals: Journals, writer: JournalWriter) -> None:
    async def main() -> None:
        assert await collect(journals.follow(BUILD, follow=False)) == b""
        writer.append(CREATED)
        write(writer, 3)
        lines = lines_of(writer.path)
        assert await collect(journals.follow(BUILD, follow=False)) == b"".join(lines)
        assert await collect(journals.follow(BUILD, 3, follow=False)) == lines[3]
        assert await collect(journals.follow(BUILD, 4, follow=False)) == b""
        writer.append(COMPLETED)
        last = lines_of(writer.path)[-1]
        assert await collect(journals.follow(BUILD, 4, follow=False)) == last
        assert await collect(journals.follow(BUILD, 5, follow=False)) == last

    run(main())


def test_a_line_is_received_before_the_next_is_written(
    journals: Journals, writer: JournalWriter
) -> None:
    """A ping-pong between a writing thread and a follower: one lost wake-up stops it."""
    received = threading.Semaphore(0)

    def write_on() -> None:
        for number in range(100):
            writer.append(log(f"{number}"))
            received.acquire()
        writer.append(COMPLETED)

    async def main() -> None:
        thread = asyncio.create_task(asyncio.to_thread(write_on))
        blocks = []
        async for block in journals.follow(BUILD, follow=True):
            blocks.append(block)
            received.release()
        assert blocks == lines_of(writer.path)
        await thread

    run(main())


def test_it_ends_with_the_writer(journals: Journals, writer: JournalWriter) -> None:
    async def main() -> None:
        writer.append(CREATED)
        follower = asyncio.create_task(collect(journals.follow(BUILD, follow=True)))
        await asyncio.sleep(0)
        write(writer, 2)
        writer.close()
        assert await follower == writer.path.read_bytes()
        # Nobody writes it any more and nobody has healed it yet.
        assert await collect(journals.follow(BUILD, follow=True)) == writer.path.read_bytes()
        assert await collect(journals.follow(BUILD, 3, follow=True)) == b""

    run(main())


def test_a_finished_journal_that_was_taken_up_again_is_finished(
    journals: Journals, writer: JournalWriter
) -> None:
    writer.append(CREATED)
    writer.append(COMPLETED)
    writer.close()
    with closing(journals.reopen(BUILD)):
        run(_assert_collects(lambda: journals.follow(BUILD, follow=True), writer.path.read_bytes()))


def test_a_torn_tail_is_not_shown(journals: Journals, writer: JournalWriter) -> None:
    writer.append(CREATED)
    writer.append(STEP)
    writer.close()
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole + whole[:100])

    run(_assert_collects(lambda: journals.follow(BUILD, follow=True), whole))
    run(_assert_collects(lambda: journals.follow(BUILD, 2, follow=True), b""))


async def _assert_collects(
    follow: Callable[[], AsyncGenerator[bytes, None]], content: bytes
) -> None:
    assert await collect(follow()) == content


def test_silence_is_answered_with_empty_blocks(journals: Journals, writer: JournalWriter) -> None:
    async def main() -> None:
        writer.append(CREATED)
        async with aclosing(journals.follow(BUILD, follow=True, idle_s=0.01)) as blocks:
            assert await anext(blocks) == writer.path.read_bytes()
            assert await anext(blocks) == b""
            assert await anext(blocks) == b""
            writer.append(STEP)
            while not (block := await anext(blocks)):
                pass
            assert block == lines_of(writer.path)[1]
            assert await anext(blocks) == b""

    run(main())


def test_blocks_are_whole_lines_of_a_bounded_size(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        for _ in range(20):
            write(writer, 997)
        write(writer, 1, message="\0" * 65536)  # a line of 400 kB
        write(writer, 997)
        writer.append(COMPLETED)
        blocks = [block async for block in journals.follow(BUILD, follow=True)]
        assert b"".join(blocks) == writer.path.read_bytes()
        assert all(block.endswith(b"\n") for block in blocks)
        assert sum(len(block) > 128 * 1024 for block in blocks) == 1
        assert len(blocks) < 80

    run(main())


def test_a_hundred_followers_of_a_flood_get_the_same(
    journals: Journals, writer: JournalWriter
) -> None:
    async def digest(blocks: AsyncGenerator[bytes, None]) -> str:
        sha256 = hashlib.sha256()
        async for block in blocks:
            sha256.update(block)
        return sha256.hexdigest()

    def flood() -> None:
        for _ in range(3000):
            writer.append(log("x" * 60))
        writer.append(COMPLETED)

    async def main() -> None:
        followers = [
            asyncio.create_task(digest(journals.follow(BUILD, follow=True))) for _ in range(100)
        ]
        await asyncio.to_thread(flood)
        whole = hashlib.sha256(writer.path.read_bytes()).hexdigest()
        assert set(await asyncio.gather(*followers)) == {whole}

    run(main())


def test_a_flood_wakes_followers_now_and_then(journals: Journals, writer: JournalWriter) -> None:
    async def main() -> None:
        follower = asyncio.create_task(count_blocks(journals.follow(BUILD, follow=True)))
        await asyncio.sleep(0)
        begun = time.monotonic()
        for _ in range(500):
            writer.append(log("x"))
            await asyncio.sleep(0)
        writer.append(COMPLETED)
        blocks = await follower
        assert blocks <= (time.monotonic() - begun) / WAKE_INTERVAL_S + 3

    run(main())


async def count_blocks(blocks: AsyncGenerator[bytes, None]) -> int:
    return len([block async for block in blocks])


def test_a_reader_that_never_waits_does_not_hold_the_loop(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        for _ in range(10):
            write(writer, 1000)
        writer.append(COMPLETED)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with aclosing(journals.follow(BUILD, follow=True)) as blocks:
            other = asyncio.create_task(others())
            count = len([block async for block in blocks])
            assert turns >= count - 1 > 9  # after the last it waits for nothing
            other.cancel()

    run(main())


def test_a_crowd_of_followers_is_woken_less_often(writer: JournalWriter) -> None:
    async def main() -> None:
        with ExitStack() as crowd:
            for _ in range(1000):
                crowd.enter_context(writer.progress.followed())
                wakes_per_s = writer.progress.followers / writer.progress.wake_interval_s
                assert wakes_per_s < WAKES_PER_S * 1.001
                assert writer.progress.wake_interval_s >= WAKE_INTERVAL_S
        assert writer.progress.wake_interval_s == WAKE_INTERVAL_S

    run(main())


def opened_file(writer: JournalWriter) -> int:
    assert writer._fd is not None
    return writer._fd


class Meddled(Progress):
    """Something is written whenever a follower looks; the build ends after ten times."""

    def __init__(self, writer: JournalWriter) -> None:
        self.writer: JournalWriter | None = None
        super().__init__(opened_file(writer), writer.size)
        self.writer = writer
        self.looks = 0
        writer.progress = self

    def __getattribute__(self, name: str) -> object:
        if name in ("changed", "ended", "end_in") and (writer := self.writer):
            self.writer = None  # the writer looks, too
            self.looks += 1
            if not writer.completed:
                writer.append(COMPLETED if self.looks == 10 else log(f"{self.looks}"))
            self.writer = writer
        return super().__getattribute__(name)


@pytest.mark.parametrize("skew", range(10))
def test_what_is_written_while_a_follower_looks_is_not_lost(
    journals: Journals, writer: JournalWriter, skew: int
) -> None:
    async def main() -> None:
        meddled = Meddled(writer)
        meddled.looks = skew
        assert await collect(journals.follow(BUILD, follow=True)) == writer.path.read_bytes()
        assert writer.completed

    run(main())


def test_a_stalled_follower_holds_up_nobody_and_holds_nothing(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        writer.append(CREATED)
        async with aclosing(journals.follow(BUILD, follow=True)) as stalled:
            received = [await anext(stalled)]
            tracemalloc.start()
            for _ in range(40):  # 10 MB
                write(writer, 1000)
                await asyncio.sleep(0)
            kept = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            assert kept < 256 * 1024
            writer.append(COMPLETED)
            received += [block async for block in stalled]
        assert b"".join(received) == writer.path.read_bytes()

    run(main())


@pytest.mark.parametrize("idle_s", [None, 60.0])
def test_a_canceled_follower_leaves_nothing_behind(
    journals: Journals, writer: JournalWriter, idle_s: float | None
) -> None:
    async def main() -> None:
        writer.append(CREATED)
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a snapshot of names
        others = asyncio.all_tasks()

        received = asyncio.Semaphore(0)

        async def follow() -> None:
            async for _ in journals.follow(BUILD, follow=True, idle_s=idle_s):
                received.release()

        followers = [asyncio.create_task(follow()) for _ in range(50)]
        for _ in followers:
            await received.acquire()
        assert len(os.listdir("/proc/self/fd")) == len(before) + 50  # noqa: PTH208
        for follower in followers:
            follower.cancel()
        results = await asyncio.gather(*followers, return_exceptions=True)

        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        assert asyncio.all_tasks() == others
        assert writer.progress.followers == 0

    run(main())


def test_a_follower_closed_between_two_blocks_leaves_nothing_behind(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        writer.append(CREATED)
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
        async with aclosing(journals.follow(BUILD, follow=True)) as blocks:
            await anext(blocks)
        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        assert writer.progress.followers == 0

    run(main())


def test_a_removed_journal_can_be_read_to_its_end(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        writer.append(CREATED)
        content = writer.path.read_bytes()
        follower = asyncio.create_task(collect(journals.follow(BUILD, follow=True)))
        await asyncio.sleep(0)
        journals.remove(BUILD)
        assert await follower == content

    run(main())


def test_journals_outlive_an_event_loop(journals: Journals) -> None:
    """A writer may still be at work when the loop of its followers is gone, and another comes."""
    with closing(journals.create(BuildId.new())) as writer:

        async def main() -> None:
            async with aclosing(journals.follow(writer.build_id, follow=True)) as blocks:
                if writer.last_id:
                    await anext(blocks)
                writer.append(STEP)
                assert await anext(blocks) == lines_of(writer.path)[-1]
                writer.append(STEP)  # its wake-up never comes: the loop ends before

        run(main())
        writer.append(STEP)
        run(main())
