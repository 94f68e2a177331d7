"""The ConfigBuilds as last seen, from whichever of watch, list or write saw them last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from configbuild.builds.state import Declared
from configbuild.builds.tokens import PREFIX
from configbuild.kube.recall import recall
from configbuild.model import ConfigKey

Body = Mapping[str, Any]


def key_of(body: Body) -> ConfigKey:
    """Name an object."""
    metadata = body["metadata"]
    return ConfigKey(metadata["namespace"], metadata["name"])


def declared_of(body: Body) -> Declared:
    """Read what an object declares, and what was written into its status."""
    key = key_of(body)
    metadata = body["metadata"]
    return Declared(
        key=key,
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=body["spec"],
        annotations=_own_annotations(body),
        last_known=recall(key, body.get("status") or {}),
    )


# Answers to writes that were under way when an object was deleted come within seconds.
_REMEMBERED_DELETIONS = 1000


class News(Enum):
    """What a body tells beyond what was known of its object."""

    DECLARATION = auto()
    """What is declared may have changed, or the object is new."""
    STATUS = auto()
    """A later version of the same declaration: somebody wrote to its status, or a label."""
    NOTHING = auto()
    """A version that is known, or older than that, or of an object that is deleted."""


class ObjectCache:
    """Bodies by key; an older version never replaces a newer one, nor brings back a deleted one."""

    def __init__(self) -> None:
        self._bodies: dict[ConfigKey, Body] = {}
        self._declared: dict[ConfigKey, Declared] = {}
        self._deleted: OrderedDict[ConfigKey, str] = OrderedDict()

    def get(self, key: ConfigKey) -> Body | None:
        """Look up an object."""
        return self._bodies.get(key)

    def declared(self, key: ConfigKey) -> Declared | None:
        """Give what an object declares; read once for each version that is seen."""
        body = self._bodies.get(key)
        if body is None:
            return None
        if key not in self._declared:
            self._declared[key] = declared_of(body)
        return self._declared[key]

    def was_deleted(self, key: ConfigKey) -> bool:
        """Tell whether the last that was seen of an object is its deletion."""
        return key not in self._bodies and key in self._deleted

    def keys(self) -> set[ConfigKey]:
        """Name all objects."""
        return set(self._bodies)

    def put(self, body: Body) -> News:
        """Take a body unless it or a newer one is known; tells what is new in it."""
        key = key_of(body)
        known = self._bodies.get(key)
        if known is not None and not _is_newer(body, known):
            return News.NOTHING
        if self._deleted.get(key) == body["metadata"]["uid"]:
            return News.NOTHING
        self._bodies[key] = _lean(body)
        self._declared.pop(key, None)
        if known is None or _declaration(known) != _declaration(body):
            return News.DECLARATION
        return News.STATUS

    def remove(self, body: Body) -> bool:
        """Drop a deleted object, unless one of the same name was created since."""
        key = key_of(body)
        known = self._bodies.get(key)
        if known is not None and known["metadata"]["uid"] != body["metadata"]["uid"]:
            return False
        self._bodies.pop(key, None)
        self._declared.pop(key, None)
        self._deleted[key] = body["metadata"]["uid"]
        if len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        return True


def _lean(body: Body) -> Body:
    """Leave out what takes most of the memory and nobody here reads: who wrote which field."""
    if "managedFields" not in body["metadata"]:
        return body
    metadata = {name: v for name, v in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": {**metadata, "annotations": dict(_own_annotations(body))}}


def _is_newer(body: Body, known: Body) -> bool:
    # Resource versions of one resource compare as numbers (KEP-5504).
    new, old = body["metadata"]["resourceVersion"], known["metadata"]["resourceVersion"]
    return int(new) > int(old)


def _declaration(body: Body) -> tuple[str, int, Mapping[str, str]]:
    metadata = body["metadata"]
    return metadata["uid"], metadata["generation"], _own_annotations(body)


def _own_annotations(body: Body) -> Mapping[str, str]:
    annotations = body["metadata"].get("annotations") or {}
    return {name: value for name, value in annotations.items() if name.startswith(PREFIX)}
