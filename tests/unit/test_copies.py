"""Copies of logs where the store fails: what is told, what is tried again, what is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from configbuild.builds import copies
from configbuild.builds.copies import LogCopies
from configbuild.journal import Journals
from configbuild.logstore import Chunk, LogOwner, LogStoreError, StoredLog
from tests.unit.examples import CREATED, KEY, build_id, record

OWNER = LogOwner(key=KEY, uid="uid", build_id=build_id())


class FailingCopy:
    """Holds lines in memory, and seals them once the store is willing."""

    def __init__(self, store: FailingStore) -> None:
        self.store = store
        self.lines = b""

    async def write(self, lines: bytes) -> None:
        self.lines += lines

    async def flush(self) -> StoredLog:
        return self.stored()

    async def seal(self) -> StoredLog:
        if self.store.failures:
            raise self.store.failures.pop(0)
        self.store.sealed.append(self.lines)
        return StoredLog(store=self.store.name, complete=True)

    def stored(self, problem: str | None = None) -> StoredLog:
        return StoredLog(store=self.store.name, problem=problem)


class FailingStore:
    """A store that says no as often as it is told to."""

    name = "failing"

    def __init__(self, *failures: LogStoreError) -> None:
        self.failures = list(failures)
        self.sealed: list[bytes] = []
        self.removed: list[StoredLog] = []
        self.begun = 0

    def begin(self, owner: LogOwner, earlier: StoredLog | None = None) -> FailingCopy:
        self.begun += 1
        return FailingCopy(self)

    async def read(
        self, owner: LogOwner, stored: StoredLog, after_id: int = 0
    ) -> AsyncGenerator[bytes, None]:
        yield b"its lines\n"

    async def remove(self, owner: LogOwner, stored: StoredLog) -> None:
        self.removed.append(stored)


def copy_log(root: Path, store: FailingStore) -> list[StoredLog]:
    """Copy the journal of a build that has ended; gives all that was told of the copy."""
    journals = _journals_of_one_that_ended(root)
    told: list[StoredLog] = []
    over = asyncio.Event()

    def noted(_: LogOwner, log: StoredLog) -> None:
        told.append(log)
        if log.complete or not store.failures:
            over.set()

    async def scenario() -> None:
        made = LogCopies(store=store, journals=journals, noted=noted)
        made.begin(OWNER)
        async with asyncio.timeout(30):
            await over.wait()
            while made._tasks:
                await asyncio.gather(*made._tasks)

    asyncio.run(scenario())
    return told


def _journals_of_one_that_ended(root: Path) -> Journals:
    journals = Journals(root / "logs")
    writer = journals.create(build_id())
    writer.append(CREATED)
    writer.close()
    return journals


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_FIRST_RETRY_S", 0.0)


def test_store_that_is_away_gets_the_whole_log_later_and_nothing_is_held_meanwhile(
    tmp_path: Path,
) -> None:
    store = FailingStore(LogStoreError("away"), LogStoreError("still away"))
    told = copy_log(tmp_path, store)
    assert [log.problem for log in told if log.problem] == ["away", "still away"]
    assert told[-1].complete
    assert len(store.sealed) == 1
    assert b"build.created" in store.sealed[0]
    assert store.begun == 2, "what was held is let go, and taken from the journal in its turn"


def test_store_that_will_never_take_it_is_asked_once(tmp_path: Path) -> None:
    store = FailingStore(LogStoreError("quota", lasting=True))
    told = copy_log(tmp_path, store)
    assert (told[-1].problem, told[-1].complete) == ("quota", False)
    assert (store.begun, store.sealed) == (1, [])


def test_copy_in_another_store_is_neither_read_nor_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = FailingStore()
        made = LogCopies(store=store, journals=Journals(tmp_path), noted=lambda *_: None)
        elsewhere = record(log=StoredLog(store="another", complete=True))
        assert made.read(elsewhere) is None
        made.forget(elsewhere)
        assert made._tasks == set()
        assert store.removed == []
        here = made.read(record(log=StoredLog(store="failing", complete=True)))
        assert here is not None
        assert [block async for block in here] == [b"its lines\n"]

    asyncio.run(scenario())


@pytest.mark.anyio
async def test_copy_that_is_dropped_while_it_is_sent_is_removed_once_it_has_arrived(
    tmp_path: Path,
) -> None:
    class SlowStore(FailingStore):
        def begin(self, owner: LogOwner, earlier: StoredLog | None = None) -> FailingCopy:
            return SlowCopy(self)

    class SlowCopy(FailingCopy):
        async def seal(self) -> StoredLog:
            sending.set()
            await arrives.wait()
            self.arrived = True
            return await super().seal()

        arrived = False

        def stored(self, problem: str | None = None) -> StoredLog:
            chunks = (Chunk(name="build-1", uid="uid-1", sha256=""),) if self.arrived else ()
            return StoredLog(store=self.store.name, problem=problem, chunks=chunks)

    sending, arrives = asyncio.Event(), asyncio.Event()
    journals = _journals_of_one_that_ended(tmp_path)
    store = SlowStore()
    made = LogCopies(store=store, journals=journals, noted=lambda *_: None)
    made.begin(OWNER)
    async with asyncio.timeout(30):
        await sending.wait()
        made.forget(record(log=None))
        await asyncio.to_thread(journals.remove, build_id())
        arrives.set()
        while made._tasks:
            await asyncio.gather(*made._tasks)
    assert [[chunk.name for chunk in stored.chunks] for stored in store.removed] == [["build-1"]]


@pytest.mark.anyio
async def test_copy_that_waits_for_its_store_waits_no_longer_once_it_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_FIRST_RETRY_S", 3600.0)
    failed = asyncio.Event()
    journals = _journals_of_one_that_ended(tmp_path)
    store = FailingStore(*(LogStoreError("away") for _ in range(2)))
    made = LogCopies(
        store=store, journals=journals, noted=lambda *_: None if store.failures else failed.set()
    )
    made.begin(OWNER)
    async with asyncio.timeout(30):
        await failed.wait()
        made.forget(record(log=None))
        while made._tasks:
            await asyncio.gather(*made._tasks)
    assert store.sealed == []
