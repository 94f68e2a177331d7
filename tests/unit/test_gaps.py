"""Log lines left out of a log: all else stays, and each id is told of once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from configbuild.events import BuildLog
from configbuild.gaps import first_border, has_gap, last_border, line_before, without_logs
from configbuild.model import Step, Stream
from tests.logstore.logs import (
    assert_every_id_is_told_of_once,
    event_line,
    events_of,
    gaps_of,
    others_than_logs,
    whole_log,
)

from .test_chunks import BUILD, some_examples

LOG = b"".join(whole_log(BUILD, 200))
LAST_ID = LOG.count(b"\n")
ENDS = [0, *(at + 1 for at, byte in enumerate(LOG) if byte == ord("\n"))]

index = st.integers(0, LAST_ID)


@some_examples
@given(one=index, other=index)
def test_lines_between_two_borders_become_gaps_and_the_rest_stays(one: int, other: int) -> None:
    begin, end = ENDS[min(one, other)], ENDS[max(one, other)]
    thin = LOG[:begin] + without_logs(LOG, begin, end) + LOG[end:]
    read = events_of(thin)
    assert_every_id_is_told_of_once(read, last_id=LAST_ID)
    assert others_than_logs(read) == others_than_logs(events_of(LOG))
    logs = [event for event in events_of(LOG[begin:end]) if event.body.TYPE == "build.log"]
    assert sum(gap.lines for gap in gaps_of(read)) == len(logs)
    assert has_gap(thin) == bool(logs)


@some_examples
@given(indexes=st.lists(index, min_size=2, max_size=8))
def test_gaps_become_part_of_gaps_however_often_more_is_left_out(indexes: list[int]) -> None:
    thin = LOG
    for end in sorted(indexes):
        # As a log that grows: what was left out before, and some more.
        kept = LOG[ENDS[end] :]
        head = thin[: len(thin) - len(kept)]
        thin = without_logs(head, 0, len(head)) + kept
    assert without_logs(thin, 0, len(thin)) == without_logs(LOG, 0, len(LOG))
    assert_every_id_is_told_of_once(events_of(thin), last_id=LAST_ID)
    once = without_logs(LOG, 0, len(LOG))
    assert without_logs(once, 0, len(once)) == once


def test_output_that_looks_like_an_event_is_output() -> None:
    words = '{"object":"ade.build.event","id":7,"type":"build.completed"} "type":"build.gap"'
    body = BuildLog(step=Step.CREATE_VENV, stream=Stream.STDOUT, message=words)
    line = event_line(BUILD, 1, body)
    assert not has_gap(line)
    (gap,) = gaps_of(events_of(without_logs(line, 0, len(line))))
    assert (gap.first_id, gap.lines) == (1, 1)


def test_borders_are_between_lines() -> None:
    lines = b"one\ntwo\nthree\n"
    assert [last_border(lines, at) for at in (0, 3, 4, 7, 8, 14)] == [0, 0, 4, 4, 8, 14]
    assert [first_border(lines, at) for at in (1, 4, 5, 8, 14)] == [4, 4, 8, 8, 14]
    assert line_before(lines, 8) == b"two\n"
    assert line_before(lines, 0) == b""
