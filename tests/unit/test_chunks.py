"""A log cut into chunks: all of it comes back, or a gap tells of what does not."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configbuild.events import LogLineEncoder
from configbuild.logstore import chunks
from configbuild.logstore.chunks import LIMIT_BYTES, ChunkedLog
from configbuild.logstore.joining import Joint
from configbuild.model import BuildId, Step, Stream
from tests.logstore.logs import (
    TIME,
    assert_every_id_is_told_of_once,
    behind,
    events_of,
    gaps_of,
    others_than_logs,
    whole_log,
)

BUILD = BuildId("build_01JB2Z5V7T3QK8M4N6P9R0S1XA")
NOISE = b"".join(whole_log(BUILD, 2500, noise=True))
ALIKE = b"".join(whole_log(BUILD, 500))

some_examples = settings(max_examples=25, deadline=None)
"""Each packs and unpacks a log."""

# Status has room for so many names.
MAX_CHUNKS = 32


class Store:
    """Holds what is written, by number; remembers what was final."""

    def __init__(self) -> None:
        self.chunks: dict[int, bytes] = {}
        self._final: set[int] = set()

    def take(self, log: ChunkedLog, *, final: bool = False) -> None:
        for number in log.dropped():
            del self.chunks[number]
            log.removed(number)
        for chunk in log.changed(final=final):
            assert chunk.number not in self._final
            log.sent(chunk)
            self.chunks[chunk.number] = chunk.data
            if chunk.final:
                self._final.add(chunk.number)
            log.written(chunk)
        assert sorted(self.chunks) == log.numbers()
        assert sum(map(len, self.chunks.values())) <= LIMIT_BYTES

    def parts(self) -> list[bytes]:
        return [gzip.decompress(data) for _, data in sorted(self.chunks.items())]


def batches_of(log: bytes, borders: Iterable[int]) -> list[bytes]:
    """Cut a log at lines, wherever."""
    lines = log.splitlines(keepends=True)
    cuts = [0, *sorted({border % len(lines) for border in borders}), len(lines)]
    return [b"".join(lines[a:b]) for a, b in pairwise(cuts)]


def joined(parts: Sequence[bytes], after_id: int = 0) -> bytes:
    joint = Joint(after_id)
    return b"".join(joint.join(part) for part in parts)


@some_examples
@given(
    log=st.sampled_from([NOISE, ALIKE]),
    borders=st.lists(st.integers(0, 10_000), max_size=12),
    flushes=st.sets(st.integers(0, 12)),
)
def test_chunks_of_any_batches_make_up_the_log(
    log: bytes, borders: list[int], flushes: set[int]
) -> None:
    chunked, store = ChunkedLog(), Store()
    for number, batch in enumerate(batches_of(log, borders)):
        chunked.add(batch)
        if number in flushes:
            store.take(chunked)
            assert log.startswith(b"".join(store.parts()))
    store.take(chunked, final=True)
    assert b"".join(store.parts()) == log
    assert not chunked.truncated
    assert not list(chunked.changed())


@pytest.mark.parametrize("flush_every", [1, 7, 10_000])
def test_within_a_small_limit_every_id_is_told_of_once(flush_every: int) -> None:
    chunked, store = ChunkedLog(limit_bytes=520 * 1024), Store()
    log = b"".join(whole_log(BUILD, 12_000, noise=True))
    for number, batch in enumerate(whole_log(BUILD, 12_000, noise=True)):
        chunked.add(batch)
        if number % flush_every == 0:
            store.take(chunked)
    store.take(chunked, final=True)
    assert chunked.truncated
    assert sum(map(len, store.chunks.values())) <= 520 * 1024
    events, read = events_of(log), events_of(joined(store.parts()))
    assert_every_id_is_told_of_once(read, last_id=len(events))
    assert others_than_logs(read) == others_than_logs(events)
    for after_id in (0, 3, 4000, len(events) - 9, len(events)):
        rest = events_of(joined(store.parts(), after_id))
        assert rest == [event for event in read if event.id > after_id]


def test_lines_that_are_all_alike_make_few_chunks_that_a_reader_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = 256 * 1024
    # With what holds in truth this takes 160 MiB of lines.
    monkeypatch.setattr(chunks, "_CHUNK_LINES_BYTES", held)
    chunked, store = ChunkedLog(), Store()
    encoder = LogLineEncoder(build_id=BUILD, step=Step.CREATE_VENV, stream=Stream.STDOUT)
    for number in range(200):
        messages = ["x" * 9800] * 10
        chunked.add(encoder.encode(messages, first_id=10 * number + 1, time=TIME))
        if number % 8 == 0:
            store.take(chunked)
    store.take(chunked, final=True)
    assert chunked.truncated
    assert 3 < len(store.chunks) <= MAX_CHUNKS
    assert max(map(len, store.parts())) < held + 64 * 1024


def test_a_line_that_is_longer_than_a_piece_stays_whole() -> None:
    created = next(iter(whole_log(BUILD, 0)))
    long = created.replace(b'"config_id":"c"', b'"config_id":"%s"' % (b"c" * 300_000))
    chunked, store = ChunkedLog(), Store()
    chunked.add(long + behind(ALIKE, 1))
    store.take(chunked, final=True)
    assert b"".join(store.parts()) == long + behind(ALIKE, 1)


def test_a_chunk_that_was_sent_without_an_answer_is_dropped_as_well() -> None:
    chunked = ChunkedLog(limit_bytes=520 * 1024)
    sent = set()
    for batch in whole_log(BUILD, 12_000, noise=True):
        chunked.add(batch)
        for chunk in chunked.changed():
            chunked.sent(chunk)
            sent.add(chunk.number)
    assert gaps_of(events_of(joined([gzip.decompress(c.data) for c in chunked.changed()])))
    assert set(chunked.dropped()) == sent - set(chunked.numbers())
