"""The schema that is served against ours: which fields it lacks."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from configbuild.resource.crd import structural_schema
from configbuild.resource.served import lacking_fields, served_schema

KINDS = "x-kubernetes-group-version-kind"


def part(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema at a path like those of `lacking_fields`."""
    for step in path.replace("[]", ".[]").replace("{}", ".{}").split("."):
        match step:
            case "[]":
                schema = schema["items"]
            case "{}":
                schema = schema["additionalProperties"]
            case _:
                schema = schema["properties"][step]
    return schema


def without(*paths: str) -> dict[str, Any]:
    schema = deepcopy(structural_schema())
    for path in paths:
        owner, _, name = path.rpartition(".")
        del part(schema, owner)["properties"][name]
    return schema


def test_our_own_schema_lacks_nothing() -> None:
    assert lacking_fields(structural_schema()) == []


@pytest.mark.parametrize(
    "path",
    [
        "spec.ttl",
        "spec.config.configMap.items[].path",
        "status.log",
        "status.conditions[].observedGeneration",
        "status.build.failure.hint",
    ],
)
def test_field_that_is_lacking_is_named_at_any_depth(path: str) -> None:
    assert lacking_fields(without(path)) == [path]


def test_fields_are_named_in_the_order_of_the_schema_and_none_within_another() -> None:
    lacking = lacking_fields(without("status.log", "spec.ttl", "spec.install"))

    assert sorted(lacking) == ["spec.install", "spec.ttl", "status.log"]
    assert lacking[-1] == "status.log"


def test_status_that_is_not_there_at_all_lacks_every_field() -> None:
    schema = deepcopy(structural_schema())
    del schema["properties"]["status"]

    lacking = lacking_fields(schema)

    assert lacking == [
        f"status.{name}" for name in part(structural_schema(), "status")["properties"]
    ]


def test_newer_schema_lacks_nothing() -> None:
    schema = deepcopy(structural_schema())
    for path in ("spec", "status", "spec.config", "status.conditions[]"):
        part(schema, path)["properties"]["ofTomorrow"] = {"type": "string"}

    assert lacking_fields(schema) == []


def test_object_that_keeps_unknown_fields_lacks_none() -> None:
    schema = without("spec.config.requirement")
    part(schema, "spec.config")["x-kubernetes-preserve-unknown-fields"] = True

    assert lacking_fields(schema) == []


def test_schema_is_found_by_its_kind_and_version() -> None:
    def kind(**other: str) -> list[dict[str, str]]:
        return [{"group": "ade.dev", "version": "v1alpha1", "kind": "ConfigBuild", **other}]

    ours = {KINDS: kind(), "type": "object"}
    others = {"a": {KINDS: kind(kind="ConfigBuildList")}, "b": {KINDS: kind(version="v1")}, "c": {}}

    assert served_schema({"components": {"schemas": {**others, "d": ours}}}) == ours
    assert served_schema({"components": {"schemas": others}}) is None
    assert served_schema({}) is None
