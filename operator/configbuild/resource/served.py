"""The schema that an API server serves, against the one that this operator was made for.

A field that the served one lacks is dropped from every object that is written, without an error.
What it has beyond is of a newer version, and harms nobody.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#field-pruning
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from configbuild.resource import GROUP, KIND, VERSION
from configbuild.resource.crd import structural_schema

OPENAPI_PATH = f"/openapi/v3/apis/{GROUP}/{VERSION}"
"""Where every user that has shown who it is may read what is served (role system:discovery)."""

_KINDS = "x-kubernetes-group-version-kind"
_KEEPS_ALL = "x-kubernetes-preserve-unknown-fields"

Schema = Mapping[str, Any]


def served_schema(document: Schema) -> Schema | None:
    """Find the resource's schema in an OpenAPI v3 document; ``None`` if it is not there."""
    wanted = {"group": GROUP, "version": VERSION, "kind": KIND}
    schemas: Mapping[str, Schema] = document.get("components", {}).get("schemas", {})
    return next((each for each in schemas.values() if wanted in each.get(_KINDS, [])), None)


def lacking_fields(served: Schema) -> list[str]:
    """Name the fields of spec and status that a served schema lacks, by their paths.

    Of a field that is lacking, those within it are not named. ``[]`` stands for each item of a
    list, ``{}`` for each value of a map.
    """
    ours = structural_schema()["properties"]
    theirs = served.get("properties", {})
    return [
        path
        for part in ("spec", "status")
        for path in _lacking(ours[part], theirs.get(part, {}), part)
    ]


def _lacking(ours: Schema, theirs: Schema, path: str) -> Iterator[str]:
    if theirs.get(_KEEPS_ALL):
        return
    there: Mapping[str, Schema] = theirs.get("properties", {})
    for name, field in ours.get("properties", {}).items():
        if name in there:
            yield from _lacking(field, there[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    for keyword, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(ours.get(keyword), dict):
            within = theirs.get(keyword)
            yield from _lacking(
                ours[keyword], within if isinstance(within, dict) else {}, f"{path}{sign}"
            )
