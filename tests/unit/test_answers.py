"""Answers that are kept: for how long, how many, and asked for once."""

from __future__ import annotations

import asyncio

import pytest

from configbuild.kube.answers import Answers
from tests.process.support import in_loop


class Oracle:
    """Answers what a test says, counts, and can be held up."""

    def __init__(self, answer: str | None = "yes") -> None:
        self.answer = answer
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.was_cancelled = False

    async def ask(self) -> str | None:
        self.asked += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.answer == "fail":
            raise OSError("nobody answers")
        return self.answer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def answers(clock: Clock, limit: int = 10) -> Answers[str, str | None]:
    return Answers(yes_s=10, no_s=2, limit=limit, clock=clock)


@in_loop
async def test_yes_is_kept_longer_than_no() -> None:
    clock = Clock()
    for answer, kept_s in (("yes", 10), (None, 2)):
        kept, oracle = answers(clock), Oracle(answer)
        assert await kept.get("key", oracle.ask) == answer
        clock.now += kept_s - 0.5
        assert await kept.get("key", oracle.ask) == answer
        assert oracle.asked == 1
        clock.now += 0.5
        assert await kept.get("key", oracle.ask) == answer
        assert oracle.asked == 2


@in_loop
async def test_answer_is_kept_no_longer_than_the_asker_says() -> None:
    clock = Clock()
    kept, oracle = answers(clock), Oracle()
    await kept.get("key", oracle.ask, at_most_s=3)
    clock.now += 2.9
    await kept.get("key", oracle.ask, at_most_s=3)
    assert oracle.asked == 1
    clock.now += 0.1
    await kept.get("key", oracle.ask, at_most_s=3)
    assert oracle.asked == 2


@in_loop
async def test_no_takes_the_place_of_a_yes_that_is_over() -> None:
    clock = Clock()
    kept, oracle = answers(clock), Oracle()
    assert await kept.get("key", oracle.ask) == "yes"
    clock.now += 10
    oracle.answer = None
    assert await kept.get("key", oracle.ask) is None
    oracle.answer = "yes"
    assert await kept.get("key", oracle.ask) is None
    clock.now += 2
    assert await kept.get("key", oracle.ask) == "yes"


@in_loop
async def test_many_who_ask_the_same_at_once_ask_once() -> None:
    kept, oracle = answers(Clock()), Oracle()
    oracle.gate.clear()
    askers = [asyncio.create_task(kept.get("key", oracle.ask)) for _ in range(20)]
    await asyncio.sleep(0)
    askers[0].cancel()  # who goes away takes the answer from nobody
    await asyncio.sleep(0)
    oracle.gate.set()
    assert await asyncio.gather(*askers[1:]) == ["yes"] * 19
    assert oracle.asked == 1
    assert not oracle.was_cancelled


@in_loop
async def test_question_that_nobody_waits_for_is_given_up() -> None:
    kept, oracle = answers(Clock()), Oracle()
    oracle.gate.clear()
    asker = asyncio.create_task(kept.get("key", oracle.ask))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    oracle.gate.set()
    assert await kept.get("key", oracle.ask) == "yes"
    assert (oracle.asked, oracle.was_cancelled) == (2, True)


@in_loop
async def test_failure_is_told_to_all_and_not_kept() -> None:
    kept, oracle = answers(Clock()), Oracle("fail")
    told = await asyncio.gather(
        *(kept.get("key", oracle.ask) for _ in range(3)), return_exceptions=True
    )
    assert [type(error) for error in told] == [OSError] * 3
    oracle.answer = "yes"
    assert await kept.get("key", oracle.ask) == "yes"
    assert oracle.asked == 2


@in_loop
async def test_refusals_do_not_drive_out_what_was_granted() -> None:
    clock = Clock()
    kept, oracle, refused = answers(clock, limit=3), Oracle(), Oracle(None)
    await kept.get("granted", oracle.ask)
    for number in range(100):
        await kept.get(f"refused {number}", refused.ask)
    await kept.get("granted", oracle.ask)
    assert oracle.asked == 1
    assert {len(room) for room in kept._kept.values()} == {1, 3}


@in_loop
async def test_of_too_many_the_one_that_was_not_used_for_longest_goes() -> None:
    kept, oracle = answers(Clock(), limit=2), Oracle()
    for key in ("first", "second", "first", "third"):
        await kept.get(key, oracle.ask)
    assert oracle.asked == 3
    await kept.get("first", oracle.ask)
    assert oracle.asked == 3
    await kept.get("second", oracle.ask)
    assert oracle.asked == 4
