"""The line of waiting builds: namespaces take turns, and nobody is lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.builds.queue import FairQueue
from configbuild.errors import QueueFullError
from tests.unit.examples import DETERMINED

Item = tuple[str, int]


def filled(*namespaces: str, limit: int = 1000) -> FairQueue[Item]:
    """A queue with an item for each namespace named, numbered in their order."""
    queue: FairQueue[Item] = FairQueue(limit=limit)
    for number, namespace in enumerate(namespaces):
        queue.put(namespace, (namespace, number))
    return queue


def drained(queue: FairQueue[Item]) -> Iterator[Item]:
    while (item := queue.take()) is not None:
        yield item


def test_namespaces_take_turns_and_within_one_the_first_comes_first() -> None:
    assert list(drained(filled(*"aaabbc"))) == [
        ("a", 0),
        ("b", 3),
        ("c", 5),
        ("a", 1),
        ("b", 4),
        ("a", 2),
    ]


def test_thousand_waiting_builds_delay_another_namespaces_single_one_by_one() -> None:
    queue = filled(*["busy"] * 1000, limit=2000)
    assert queue.take() == ("busy", 0)
    queue.put("quiet", ("quiet", 0))

    assert [queue.take(), queue.take()] == [("busy", 1), ("quiet", 0)]


def test_empty_queue_gives_nothing() -> None:
    queue = filled()

    assert queue.take() is None
    assert list(queue.in_order()) == []
    assert len(queue) == 0


def test_full_queue_refuses_one_more_until_one_was_taken() -> None:
    queue = filled("a", "b", limit=2)

    with pytest.raises(QueueFullError, match="2 builds wait already"):
        queue.put("c", ("c", 0))
    with pytest.raises(QueueFullError):
        queue.check_room()
    queue.take()
    queue.put("c", ("c", 0))

    assert [namespace for namespace, _ in drained(queue)] == ["b", "c"]


def test_item_that_is_taken_out_of_the_line_leaves_the_others_in_order() -> None:
    queue = filled(*"aab")

    assert queue.discard("a", ("a", 0))
    assert not queue.discard("a", ("a", 0))
    assert not queue.discard("nowhere", ("a", 1))
    assert list(drained(queue)) == [("a", 1), ("b", 2)]


def test_namespace_whose_last_item_is_taken_out_waits_no_more() -> None:
    queue = filled("a", "b")
    queue.discard("a", ("a", 0))
    queue.put("a", ("a", 1))

    assert list(drained(queue)) == [("b", 1), ("a", 1)]


# A namespace puts one more in line, somebody is taken, or the oldest of a namespace gives up.
ACTS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "take", "discard"]), st.sampled_from("abc")),
    max_size=40,
)


@DETERMINED
@given(ACTS)
def test_whatever_happens_nobody_is_lost_and_turns_are_fair(acts: list[tuple[str, str]]) -> None:
    queue: FairQueue[Item] = FairQueue(limit=1000)
    waiting: dict[str, list[Item]] = defaultdict(list)
    # How often each was passed over by each other one since it came or was last served.
    passed: dict[str, dict[str, int]] = {name: {} for name in "abc"}

    def check_taken(item: Item) -> None:
        namespace = item[0]
        assert waiting[namespace].pop(0) == item
        passed[namespace] = {}
        for other, line in waiting.items():
            if line and other != namespace:
                passed[other][namespace] = passed[other].get(namespace, 0) + 1
                assert passed[other][namespace] <= 1

    for number, (act, namespace) in enumerate(acts):
        if act == "put":
            queue.put(namespace, (namespace, number))
            if not waiting[namespace]:
                passed[namespace] = {}
            waiting[namespace].append((namespace, number))
        elif act == "discard":
            item = waiting[namespace].pop(0) if waiting[namespace] else (namespace, -1)
            assert queue.discard(namespace, item) is (item[1] >= 0)
        elif (taken := queue.take()) is None:
            assert not any(waiting.values())
        else:
            check_taken(taken)
        assert len(queue) == sum(map(len, waiting.values()))

    expected = list(queue.in_order())
    assert len(expected) == len(queue)
    for item in expected:
        assert queue.take() == item
        check_taken(item)
    assert queue.take() is None
