"""A log cut into entries that are appended: as test_chunks, and what reading them back checks."""

from __future__ import annotations

import gzip

from hypothesis import given, settings
from hypothesis import strategies as st

from configbuild.logstore.entries import EntryLog, Part, read_part
from configbuild.logstore.joining import Joint
from configbuild.model import BuildId
from tests.logstore.logs import (
    assert_every_id_is_told_of_once,
    events_of,
    others_than_logs,
    whole_log,
)

from .test_chunks import ALIKE, BUILD, NOISE, batches_of, some_examples

LIMIT = 16 * 1024 * 1024
SMALL = 80 * 1024


def parts_of(log: EntryLog) -> list[Part]:
    """Read all back, the middle where it belongs."""
    parts = [read_part(entry.data, BUILD, entry_id=entry.id) for entry in log.entries()]
    if middle := log.middle():
        parts.append(read_part(middle, BUILD))
    return sorted((part for part in parts if part), key=lambda part: part.begins)


def joined(parts: list[Part], after_id: int = 0) -> bytes:
    joint = Joint(after_id)
    return b"".join(joint.join(part.lines) for part in parts)


@some_examples
@given(
    log=st.sampled_from([NOISE, ALIKE]),
    borders=st.lists(st.integers(0, 10_000), max_size=12),
    cuts=st.sets(st.integers(0, 12)),
)
def test_entries_of_any_batches_make_up_the_log(
    log: bytes, borders: list[int], cuts: set[int]
) -> None:
    entries = EntryLog(limit_bytes=LIMIT)
    for number, batch in enumerate(batches_of(log, borders)):
        entries.add(batch)
        if number in cuts:
            entries.cut()
            assert log.startswith(joined(parts_of(entries)))
    entries.cut()
    assert joined(parts_of(entries)) == log
    assert not entries.truncated
    assert all(len(part.lines) <= 64 * 1024 for part in parts_of(entries))


@settings(max_examples=8, deadline=None)
@given(
    borders=st.lists(st.integers(0, 10_000), max_size=40),
    cuts=st.sets(st.integers(0, 40)),
    after_id=st.integers(0, 2600),
)
def test_within_a_small_limit_every_id_is_told_of_once(
    borders: list[int], cuts: set[int], after_id: int
) -> None:
    entries = EntryLog(limit_bytes=SMALL)
    for number, batch in enumerate(batches_of(NOISE, borders)):
        entries.add(batch)
        if number in cuts:
            entries.cut()
    entries.cut()
    assert entries.truncated
    assert sum(len(entry.data) for entry in entries.entries()) <= SMALL
    events, read = events_of(NOISE), events_of(joined(parts_of(entries)))
    assert_every_id_is_told_of_once(read, last_id=len(events))
    assert others_than_logs(read) == others_than_logs(events)
    rest = events_of(joined(parts_of(entries), after_id))
    assert rest == [event for event in read if event.id > after_id]


@some_examples
@given(after_id=st.integers(0, 1000), before_id=st.integers(1, 1100))
def test_lines_between_two_ids_tell_of_no_other(after_id: int, before_id: int) -> None:
    lines = b"".join(whole_log(BUILD, 1000))
    part = read_part(gzip.compress(lines), BUILD)
    assert part is not None
    told = events_of(part.between(after_id, before_id))
    assert [event.id for event in told] == [
        event.id for event in events_of(lines) if after_id < event.id < before_id
    ]


def test_a_gap_that_reaches_beyond_is_not_between() -> None:
    entries = EntryLog(limit_bytes=SMALL)
    entries.add(NOISE)
    entries.cut()
    middle = read_part(entries.middle(), BUILD)
    assert middle is not None
    gap, *others = events_of(middle.lines)
    first = events_of(middle.between(middle.begins, middle.ends + 1))
    assert first == others
    assert gap not in first
    assert middle.between(0, middle.ends) != middle.lines


def test_what_is_not_of_the_build_or_not_with_the_id_is_not_read() -> None:
    lines = b"".join(whole_log(BUILD, 3))
    assert read_part(gzip.compress(lines), BUILD, entry_id=1) is not None
    assert read_part(gzip.compress(lines), BUILD, entry_id=2) is None
    assert read_part(gzip.compress(lines), BuildId.new()) is None
    assert read_part(gzip.compress(lines[:-1]), BUILD) is None
    assert read_part(gzip.compress(lines)[:-20], BUILD) is None
    assert read_part(gzip.compress(b"\n"), BUILD) is None
    assert read_part(lines, BUILD) is None
    assert read_part(b"", BUILD) is None


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(ALIKE[: ALIKE.index(b"\n") + 1] + b" " * 50_000_000)
    assert read_part(bomb, BUILD) is None
