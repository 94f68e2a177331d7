"""Parts of a log put together again: from any cursor, with gaps for the parts that are missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from configbuild.gaps import without_logs
from configbuild.logstore.joining import Joint
from tests.logstore.logs import assert_every_id_is_told_of_once, behind, events_of, whole_log

from .test_chunks import BUILD, batches_of, some_examples

LOG = b"".join(whole_log(BUILD, 300))
LAST_ID = LOG.count(b"\n")

borders = st.lists(st.integers(0, LAST_ID), max_size=9)


def joined(parts: list[bytes], after_id: int = 0) -> bytes:
    joint = Joint(after_id)
    return b"".join(joint.join(part) for part in parts)


@some_examples
@given(borders=borders, after_id=st.integers(0, LAST_ID + 5))
def test_parts_from_any_cursor_are_the_rest_of_the_log(borders: list[int], after_id: int) -> None:
    assert joined(batches_of(LOG, borders), after_id) == behind(LOG, after_id)


@some_examples
@given(borders=borders, missing=st.sets(st.integers(0, 8)), after_id=st.integers(0, LAST_ID))
def test_ids_of_missing_parts_are_told_of_once(
    borders: list[int], missing: set[int], after_id: int
) -> None:
    batches = batches_of(LOG, borders)
    # What is missing at the end has nothing beside it that could tell.
    kept = [
        batch
        for number, batch in enumerate(batches)
        if number not in missing or batch is batches[-1]
    ]
    read = events_of(joined(kept))
    assert_every_id_is_told_of_once(read, last_id=LAST_ID)
    there = {event.id: event for part in kept for event in events_of(part)}
    assert [event for event in read if event.body.TYPE != "build.gap"] == list(there.values())
    rest = events_of(joined(kept, after_id))
    assert rest == [event for event in read if event.id > after_id]


@some_examples
@given(borders=st.lists(st.integers(0, LAST_ID), min_size=1, max_size=9), after=st.integers(0, 310))
def test_parts_that_hold_gaps_need_no_others(borders: list[int], after: int) -> None:
    batches = batches_of(LOG, borders)
    thinned = [
        without_logs(batch, 0, len(batch)) if number % 2 else batch
        for number, batch in enumerate(batches)
    ]
    read = events_of(joined(thinned))
    assert read == events_of(b"".join(thinned))
    assert_every_id_is_told_of_once(read, last_id=LAST_ID)
    assert events_of(joined(thinned, after)) == [event for event in read if event.id > after]


def test_nothing_joined_is_nothing() -> None:
    assert joined([]) == b""
    assert joined([b"", LOG, b""]) == LOG
