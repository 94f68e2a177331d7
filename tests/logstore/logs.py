"""Logs for the tests of stores: whole ones, from the first event to the last."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from configbuild.events import (
    Body,
    BuildCompleted,
    BuildCreated,
    BuildGap,
    BuildStep,
    Event,
    LogLineEncoder,
    decode_line,
    encode_line,
)
from configbuild.gaps import first_border
from configbuild.model import BuildId, BuildStatus, Step, StepStatus, Stream, Trigger

TIME = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STEPS = tuple(Step)[:4]

# Lines of one call, as they come from a pipe.
BATCH = 200


def whole_log(build_id: BuildId, lines: int, *, noise: bool = False) -> Iterator[bytes]:
    """Yield a build's log with so many lines of output, in batches, its steps between them.

    ``noise``: lines that do not compress, each another; else as alike as those of an installer.
    """
    texts = random.Random(lines)

    def message(number: int) -> str:
        if noise:
            return texts.randbytes(60).hex()
        return f"Collecting package-{number}: " + "looking at wheels for this platform, " * 10

    created = BuildCreated(
        status=BuildStatus.QUEUED, config_id="c", workspace_id="w", trigger=Trigger.INITIAL
    )
    yield event_line(build_id, 1, created)
    number, left = 2, lines
    for step in STEPS:
        running = BuildStep(step=step, status=StepStatus.RUNNING, message="Doing")
        yield event_line(build_id, number, running)
        number += 1
        encoder = LogLineEncoder(build_id=build_id, step=step, stream=Stream.STDOUT)
        share = left if step is STEPS[-1] else lines // len(STEPS)
        left -= share
        for begin in range(0, share, BATCH):
            count = min(BATCH, share - begin)
            messages = [message(number + index) for index in range(count)]
            yield encoder.encode(messages, first_id=number, time=TIME)
            number += count
    completed = BuildCompleted(status=BuildStatus.ACTIVE, exit_code=0, summary="done")
    yield event_line(build_id, number, completed)


def event_line(build_id: BuildId, number: int, body: Body) -> bytes:
    return encode_line(Event(id=number, build_id=build_id, time=TIME, body=body))


def events_of(lines: bytes) -> list[Event]:
    return [decode_line(line) for line in lines.splitlines()]


def behind(lines: bytes, after_id: int) -> bytes:
    """Give the lines of a log without gaps that lie behind a cursor."""
    begin = 0
    for _ in range(after_id):
        begin = first_border(lines, begin + 1) if begin < len(lines) else begin
    return lines[begin:]


def gaps_of(events: Iterable[Event]) -> list[BuildGap]:
    return [event.body for event in events if isinstance(event.body, BuildGap)]


def others_than_logs(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.body.TYPE not in ("build.log", "build.gap")]


def assert_every_id_is_told_of_once(events: Sequence[Event], *, last_id: int) -> None:
    """All ids from 1 on, in order: each an event's, or one gap tells of it."""
    assert begin_of(events[0]) == 1
    for event, following in pairwise(events):
        assert begin_of(following) == event.id + 1
    for event in events:
        if isinstance(event.body, BuildGap):
            assert event.body.lines == event.id - event.body.first_id + 1 > 0
    assert events[-1].id == last_id


def begin_of(event: Event) -> int:
    return event.body.first_id if isinstance(event.body, BuildGap) else event.id
