"""What every log store does: one suite, held against each of them with a real server."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from configbuild.events import completes
from configbuild.gaps import line_before
from configbuild.logstore import LogStoreError
from configbuild.logstore.chunks import LIMIT_BYTES
from tests.process.support import in_loop

from .logs import (
    assert_every_id_is_told_of_once,
    behind,
    events_of,
    gaps_of,
    others_than_logs,
    whole_log,
)
from .proxy import Proxy, proxy_before
from .sites import Site, copied, looked_at, read_all

# Some 60 KiB a thousand: more than one part of a log, in every store.
SEVERAL_PARTS = 8000

# Twice what a log may take in these tests.
TOO_MANY = 32_000

# Compressed it is still as much as the proxy waits for.
ENOUGH_TO_CUT = 20_000

FAULTS = ["send is cut", "answer is lost"]


@in_loop
async def test_a_log_is_read_back_byte_for_byte_from_any_cursor(site: Site) -> None:
    owner = site.owner()
    log = b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
    last_id = log.count(b"\n")
    async with site.opened() as store:
        copy = store.begin(owner)
        for number, batch in enumerate(whole_log(owner.build_id, SEVERAL_PARTS, noise=True)):
            await copy.write(batch)
            if number % 7 == 0:
                await copy.flush()
        stored = await copy.seal()
        assert stored.complete
        assert not stored.truncated
        for after_id in (0, 1, 2, 777, last_id // 2, last_id - 1, last_id, last_id + 9):
            assert await read_all(store, owner, stored, after_id) == behind(log, after_id)


@in_loop
async def test_what_was_flushed_can_be_read_while_the_copy_goes_on(site: Site) -> None:
    owner = site.owner()
    batches = list(whole_log(owner.build_id, 900))
    async with site.opened() as store:
        copy = store.begin(owner)
        for number, batch in enumerate(batches, 1):
            await copy.write(batch)
            stored = await copy.flush()
            assert not stored.complete
            assert await read_all(store, owner, stored) == b"".join(batches[:number])


@in_loop
async def test_another_process_reads_by_what_was_remembered(site: Site) -> None:
    owner = site.owner()
    async with site.opened() as store:
        stored = await copied(store, owner, whole_log(owner.build_id, 500))
    async with site.opened() as another:
        log = b"".join(whole_log(owner.build_id, 500))
        assert await read_all(another, owner, stored) == log


@pytest.mark.parametrize("fault", [Proxy.cut_next_send, Proxy.lose_next_answer], ids=FAULTS)
@in_loop
async def test_nothing_is_there_twice_after_a_flush_that_was_repeated(
    site: Site, fault: Callable[[Proxy], None]
) -> None:
    owner = site.owner()
    log = b""
    async with proxy_before(site.port) as proxy, site.opened(proxy.port) as store:
        copy = store.begin(owner)
        for number, batch in enumerate(whole_log(owner.build_id, 6000, noise=True)):
            await copy.write(batch)
            log += batch
            if number % 6:
                continue
            if len(batch) > ENOUGH_TO_CUT:
                fault(proxy)
                with pytest.raises(LogStoreError) as caught:
                    await copy.flush()
                assert not caught.value.lasting
            stored = await copy.flush()
            assert await read_all(store, owner, stored) == log
        assert proxy.cuts >= 3
        stored = await copy.seal()
        assert await read_all(store, owner, stored) == log


@in_loop
async def test_a_server_that_is_away_is_waited_for_and_nothing_is_lost(site: Site) -> None:
    owner = site.owner()
    batches = list(whole_log(owner.build_id, 2000, noise=True))
    half = len(batches) // 2
    async with proxy_before(site.port) as proxy, site.opened(proxy.port) as store:
        copy = store.begin(owner)
        for batch in batches[:half]:
            await copy.write(batch)
        await copy.flush()
        proxy.go_away()
        for batch in batches[half:]:
            await copy.write(batch)
        for end in (copy.flush, copy.seal):
            with pytest.raises(LogStoreError) as caught:
                await end()
            assert not caught.value.lasting
        assert copy.stored("away").problem == "away"
        assert not copy.stored().complete
        with pytest.raises(LogStoreError):
            await read_all(store, owner, copy.stored())
        with pytest.raises(LogStoreError):
            await store.remove(owner, copy.stored())
        proxy.come_back()
        stored = await copy.seal()
        assert stored.complete
        assert await read_all(store, owner, stored) == b"".join(batches)


@pytest.mark.parametrize("flushes", [False, True], ids=["at once", "as it grows"])
@in_loop
async def test_a_log_that_is_too_long_keeps_head_and_tail_and_all_but_lines(
    site: Site, flushes: bool
) -> None:
    owner = site.owner()
    log = b"".join(whole_log(owner.build_id, TOO_MANY, noise=True))
    events = events_of(log)
    async with site.opened() as store:
        copy = store.begin(owner)
        for number, batch in enumerate(whole_log(owner.build_id, TOO_MANY, noise=True)):
            await copy.write(batch)
            if flushes and number % 25 == 0:
                await copy.flush()
        stored = await copy.seal()
        assert stored.complete
        assert stored.truncated
        lines = await read_all(store, owner, stored)
        read = events_of(lines)
        assert_every_id_is_told_of_once(read, last_id=len(events))
        assert others_than_logs(read) == others_than_logs(events)
        # Each gap lies between two of the others.
        assert 1 <= len(gaps_of(read)) <= 4
        # A third of what may be kept is kept, at both ends.
        kept = LIMIT_BYTES // 3
        assert log.startswith(lines[:kept])
        assert log.endswith(lines[-kept:])
        for after_id in (5, len(events) // 3, len(events) // 2, len(events) - 5):
            rest = events_of(await read_all(store, owner, stored, after_id))
            assert rest == [event for event in read if event.id > after_id]


@in_loop
async def test_a_sealed_log_does_not_change(site: Site) -> None:
    owner, other = site.owner(), site.owner()
    async with site.opened() as store:
        copy = store.begin(owner)
        for batch in whole_log(owner.build_id, TOO_MANY, noise=True):
            await copy.write(batch)
        stored = await copy.seal()
        before = await looked_at(site, owner)
        assert before
        assert await copy.seal() == stored
        assert await copy.flush() == stored
        await copied(store, other, whole_log(other.build_id, 100))
        assert await looked_at(site, owner) == before


@in_loop
async def test_what_an_earlier_attempt_left_is_replaced(site: Site) -> None:
    owner = site.owner()
    async with site.opened() as store:
        earlier = store.begin(owner)
        for batch in whole_log(owner.build_id, TOO_MANY, noise=True):
            await earlier.write(batch)
        left = await earlier.flush()
    async with site.opened() as store:
        stored = await copied(store, owner, whole_log(owner.build_id, 700), left)
        log = b"".join(whole_log(owner.build_id, 700))
        assert await read_all(store, owner, stored) == log
        assert len(await looked_at(site, owner)) == 1


@in_loop
async def test_removal_leaves_nothing_and_touches_no_other_log(site: Site) -> None:
    owner, other = site.owner(), site.owner()
    async with site.opened() as store:
        kept = await copied(store, other, whole_log(other.build_id, 400))
        before = await looked_at(site, other)
        stored = await copied(store, owner, whole_log(owner.build_id, TOO_MANY, noise=True))
        assert await looked_at(site, owner)
        await store.remove(owner, stored)
        assert not await looked_at(site, owner)
        assert await read_all(store, owner, stored) == b""
        await store.remove(owner, stored)
        assert await looked_at(site, other) == before
        log = b"".join(whole_log(other.build_id, 400))
        assert await read_all(store, other, kept) == log


@in_loop
async def test_a_part_that_is_missing_reads_as_a_gap(site: Site) -> None:
    owner = site.owner()
    events = events_of(b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True)))
    async with site.opened() as store:
        stored = await copied(store, owner, whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
        site.lose_a_part(owner, stored)
        read = events_of(await read_all(store, owner, stored))
        assert_every_id_is_told_of_once(read, last_id=len(events))
        (gap,) = gaps_of(read)
        assert [event for event in read if event.body is not gap] == [
            event for event in events if not gap.first_id <= event.id < gap.first_id + gap.lines
        ]


@in_loop
async def test_a_log_of_many_lines_is_copied_and_read_in_little_memory(site: Site) -> None:
    owner = site.owner()
    size = 0
    async with site.opened() as store:
        tracemalloc.start()
        try:
            copy = store.begin(owner)
            for number, batch in enumerate(whole_log(owner.build_id, 100_000)):
                size += len(batch)
                await copy.write(batch)
                if number % 50 == 0:
                    await copy.flush()
            stored = await copy.seal()
            read, block = 0, b""
            async for block in store.read(owner, stored):
                read += len(block)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert stored.complete
    assert size > 50_000_000
    assert read > size / 2  # it compresses to about the limit of these tests
    assert completes(line_before(block, len(block)))
    assert peak < size / 3
