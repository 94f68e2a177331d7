"""Followers that have caught up are handed what comes; what they refuse they read themselves."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from configbuild.events import line_id
from configbuild.journal import Journals, JournalWriter

from .test_journal import BUILD, COMPLETED, CREATED, STEP, lines_of, log
from .test_journal_follow import run, write


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


@pytest.fixture
def writer(journals: Journals) -> Iterator[JournalWriter]:
    with closing(journals.create(BUILD)) as writer:
        writer.append(CREATED)
        yield writer


class Reader:
    """Follows a journal, and takes what it is handed unless told to refuse it."""

    def __init__(
        self, journals: Journals, *, after_id: int = 0, idle_s: float | None = None
    ) -> None:
        self.refusals: Iterator[bool] = itertools.repeat(False)
        self.handed: list[bytes] = []
        self.yielded: list[bytes] = []
        self.got = asyncio.Event()
        self.all = b""
        self.blocks: AsyncGenerator[bytes, None] = journals.follow(
            BUILD, after_id, follow=True, idle_s=idle_s, take=self.take
        )
        self.task = asyncio.create_task(self.read())

    def take(self, block: bytes) -> bool:
        if next(self.refusals):
            return False
        self.handed.append(block)
        self._note(block)
        return True

    async def read(self) -> bytes:
        async with aclosing(self.blocks):
            async for block in self.blocks:
                self.yielded.append(block)
                self._note(block)
        return self.all

    async def until(self, line: bytes) -> None:
        while not self.all.endswith(line):
            self.got.clear()
            await self.got.wait()

    def _note(self, block: bytes) -> None:
        self.all += block
        self.got.set()


async def caught_up(readers: list[Reader], writer: JournalWriter) -> None:
    for reader in readers:
        await reader.until(lines_of(writer.path)[-1])
    await asyncio.sleep(0)  # from its block to its wait for the next one


def test_those_who_have_caught_up_are_handed_the_same_bytes(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        readers = [Reader(journals) for _ in range(3)]
        await caught_up(readers, writer)
        writer.append(STEP)
        write(writer, 3)
        await caught_up(readers, writer)
        blocks = [reader.handed for reader in readers]
        assert b"".join(blocks[0]) == b"".join(lines_of(writer.path)[1:])
        for others in blocks[1:]:
            assert all(one is other for one, other in zip(blocks[0], others, strict=True))
        writer.append(COMPLETED)
        for reader in readers:
            assert await reader.task == writer.path.read_bytes()
            assert reader.yielded == [lines_of(writer.path)[0], lines_of(writer.path)[-1]]

    run(main())


def test_what_is_refused_is_yielded_once_and_then_more_is_handed(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        reader, other = Reader(journals), Reader(journals)
        await caught_up([reader, other], writer)
        reader.refusals = itertools.chain([True], itertools.repeat(False))
        for _ in range(2):
            writer.append(STEP)
            await caught_up([reader, other], writer)
        lines = lines_of(writer.path)
        assert (reader.yielded, reader.handed) == (lines[:2], lines[2:])
        assert (other.yielded, other.handed) == (lines[:1], lines[1:])
        writer.close()
        assert await reader.task == writer.path.read_bytes()

    run(main())


def test_every_line_comes_once_whatever_is_refused(
    journals: Journals, writer: JournalWriter
) -> None:
    def write_on() -> None:
        for number in range(300):
            writer.append(log(f"{number}"))
        write(writer, 4000)  # more than is handed at once
        for number in range(300):
            writer.append(log(f"{number}"))
        writer.append(COMPLETED)

    async def main() -> None:
        readers = [Reader(journals) for _ in range(20)]
        for period, reader in enumerate(readers, 1):
            reader.refusals = itertools.cycle([True, *itertools.repeat(False, period)])
        await asyncio.to_thread(write_on)
        for reader in readers:
            assert await reader.task == writer.path.read_bytes()

    run(main())


def test_a_cursor_ahead_is_reached_before_anything_is_handed(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        ahead, other = Reader(journals, after_id=3), Reader(journals)
        await caught_up([other], writer)
        for _ in range(4):
            writer.append(STEP)
            await caught_up([other], writer)
        await caught_up([ahead], writer)
        assert [line_id(line) for line in ahead.all.splitlines()] == [4, 5]
        writer.close()
        await ahead.task

    run(main())


def test_a_journal_that_goes_on_in_another_file_is_followed_there(tmp_path: Path) -> None:
    journals = Journals(tmp_path, limit_bytes=64 * 1024)

    async def main(writer: JournalWriter) -> None:
        reader = Reader(journals)
        await caught_up([reader], writer)
        for _ in range(4):
            writer.append(STEP)
            await caught_up([reader], writer)
        cursor = writer.last_id
        inode = writer.path.stat().st_ino
        while writer.path.stat().st_ino == inode:
            write(writer, 50)
        writer.append(COMPLETED)
        await reader.task
        ids = [line_id(line) for line in reader.all.splitlines()]
        assert ids == sorted(set(ids))
        assert ids[: cursor + 1] == list(range(1, cursor + 2))
        assert ids[-1] == writer.last_id

    with closing(journals.create(BUILD)) as writer:
        writer.append(CREATED)
        run(main(writer))


def test_silence_is_told_also_to_those_who_are_handed_what_comes(
    journals: Journals, writer: JournalWriter
) -> None:
    async def main() -> None:
        reader = Reader(journals, idle_s=0.01)
        while reader.yielded.count(b"") < 2:
            reader.got.clear()
            await reader.got.wait()
        while not reader.handed:  # and it is handed what comes again
            writer.append(STEP)
            await reader.until(lines_of(writer.path)[-1])
        silences = reader.yielded.count(b"")
        while reader.yielded.count(b"") == silences:
            reader.got.clear()
            await reader.got.wait()
        writer.close()
        assert await reader.task == writer.path.read_bytes()

    run(main())


def test_what_one_of_them_raises_is_its_own(journals: Journals, writer: JournalWriter) -> None:
    def fails() -> Iterator[bool]:
        raise OSError("of this reader")
        yield

    async def main() -> None:
        reader, other = Reader(journals), Reader(journals)
        await caught_up([reader, other], writer)
        reader.refusals = fails()
        writer.append(STEP)
        await caught_up([other], writer)
        with pytest.raises(OSError, match="of this reader"):
            await reader.task
        writer.append(COMPLETED)
        assert await other.task == writer.path.read_bytes()

    run(main())


def test_those_who_leave_are_forgotten(journals: Journals, writer: JournalWriter) -> None:
    async def main() -> None:
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a snapshot of names
        readers = [Reader(journals, idle_s=60.0) for _ in range(20)]
        await caught_up(readers, writer)
        for reader in readers:
            reader.task.cancel()
        await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        assert writer.progress.followers == 0
        writer.append(STEP)
        assert not any(reader.handed for reader in readers)

    run(main())
