"""The ConfigBuilds as last seen: newer replaces older, whoever brings it, and never the reverse."""

from __future__ import annotations

from typing import Any

import pytest

from configbuild.builds.state import Declared, LastKnown
from configbuild.kube.objects import News, ObjectCache, declared_of, key_of
from configbuild.model import ConfigKey

KEY = ConfigKey("team-a", "invoices")


def body(version: int, *, uid: str = "uid-1", generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team-a",
            "name": "invoices",
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
        },
        "spec": {"config": {"path": "rules"}},
        **fields,
    }


def test_object_is_known_by_namespace_and_name() -> None:
    cache = ObjectCache()

    assert cache.put(body(1)) is News.DECLARATION
    assert key_of(body(1)) == KEY
    assert cache.keys() == {KEY}
    assert cache.get(KEY) == body(1)
    assert cache.get(ConfigKey("team-b", "invoices")) is None


@pytest.mark.parametrize(
    ("later", "news"),
    [
        pytest.param(body(11, generation=2), News.DECLARATION, id="edited"),
        pytest.param(body(11, uid="uid-2"), News.DECLARATION, id="deleted and created again"),
        pytest.param(body(11, status={"phase": "Active"}), News.STATUS, id="status only"),
        pytest.param(body(100), News.STATUS, id="more digits"),
    ],
)
def test_newer_body_replaces_and_says_whether_the_declaration_may_have_changed(
    later: dict[str, Any], news: News
) -> None:
    cache = ObjectCache()
    cache.put(body(10))

    assert cache.put(later) is news
    assert cache.get(KEY) is later


@pytest.mark.parametrize(
    "earlier",
    [
        pytest.param(body(9, generation=2), id="older"),
        pytest.param(body(10, generation=2), id="same"),
        pytest.param(body(2, uid="uid-0"), id="of an object before"),
    ],
)
def test_older_body_never_replaces_a_newer_one(earlier: dict[str, Any]) -> None:
    cache = ObjectCache()
    known = body(10)
    cache.put(known)

    assert cache.put(earlier) is News.NOTHING
    assert cache.get(KEY) is known


def test_deleted_object_is_known_no_more() -> None:
    cache = ObjectCache()
    cache.put(body(1))

    assert cache.remove(body(2))
    assert cache.get(KEY) is None
    assert cache.keys() == set()


def test_deletion_of_what_was_never_seen_is_news_too() -> None:
    assert ObjectCache().remove(body(2))


def test_late_deletion_leaves_the_object_that_was_created_since() -> None:
    cache = ObjectCache()
    cache.put(body(5, uid="uid-2"))

    assert not cache.remove(body(3, uid="uid-1"))
    assert cache.get(KEY) == body(5, uid="uid-2")


def test_late_answer_does_not_bring_a_deleted_object_back() -> None:
    """A status write is answered, then the deletion is seen, then the answer is worked on."""
    cache = ObjectCache()
    cache.put(body(1))
    answer = body(2, status={"phase": "Active"})
    cache.remove(body(3))

    assert cache.put(answer) is News.NOTHING
    assert cache.get(KEY) is None


def test_object_can_be_created_again_after_its_deletion() -> None:
    cache = ObjectCache()
    cache.put(body(1))
    cache.remove(body(3))

    assert cache.put(body(4, uid="uid-2")) is News.DECLARATION
    assert cache.get(KEY) == body(4, uid="uid-2")


def test_declaration_is_read_from_a_body() -> None:
    assert declared_of(body(1, generation=7)) == Declared(
        key=KEY,
        uid="uid-1",
        generation=7,
        spec={"config": {"path": "rules"}},
        last_known=LastKnown(),
    )


def test_what_was_written_into_the_status_is_recalled() -> None:
    status = {"observedGeneration": 4, "fingerprint": {"value": "f", "inputs": {"config": "c"}}}

    last = declared_of(body(1, status=status)).last_known

    assert (last.generation, last.newest_inputs) == (4, {"config": "c"})
