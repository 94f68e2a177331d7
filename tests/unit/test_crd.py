"""The CustomResourceDefinition: structural, bounded, and it explains itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from configbuild.resource.crd import custom_resource_definition, render_yaml
from configbuild.resource.rules import VALIDATIONS

CRD = custom_resource_definition()
(VERSION,) = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
CHECKED_IN = Path(__file__).parents[2] / "crds" / "configbuilds.ade.dev.yaml"

Node = dict[str, Any]


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Every schema within a schema, with its path; [] for items, {} for values of a map."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(keyword), dict):
            yield from nodes(node[keyword], path + sign)


SPEC = list(nodes(SCHEMA["properties"]["spec"], "spec"))
STATUS = list(nodes(SCHEMA["properties"]["status"], "status"))
ALL = list(nodes(SCHEMA, "object"))


def each(found: list[tuple[str, Node]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("path", "node"), [pytest.param(path, node, id=path) for path, node in found]
    )


def test_walk_finds_the_fields_of_all_depths() -> None:
    paths = {path for path, _ in (*SPEC, *STATUS)}

    assert len(paths) > 90
    assert paths >= {
        "spec.config.configMap.items[].path",
        "spec.install.constraints[]",
        "status.fingerprint.inputs{}",
        "status.conditions[].lastTransitionTime",
    }


@each([(path, node) for path, node in (*SPEC, *STATUS) if path[-1] not in "]}"])
def test_every_field_is_explained(path: str, node: Node) -> None:
    assert node["description"].strip().endswith((".", "…")), path
    assert "``" not in node["description"]


@each(ALL)
def test_schema_is_structural(path: str, node: Node) -> None:
    known = {
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "format",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "maxProperties",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        VALIDATIONS,
    }
    allowed = known | {"default"} if path == "object.status" else known

    assert node.keys() <= allowed
    assert node["type"] in ("object", "array", "string", "integer", "boolean")
    assert not {"properties", "additionalProperties"} <= node.keys()


@each([(path, node) for path, node in SPEC if node["type"] == "string"])
def test_every_string_of_a_spec_is_bounded(path: str, node: Node) -> None:
    assert "enum" in node or 0 < node["maxLength"] <= 2048


@each([(path, node) for path, node in (*SPEC, *STATUS) if node["type"] == "array"])
def test_every_list_is_bounded(path: str, node: Node) -> None:
    assert 0 < node["maxItems"] <= 256


@each([(path, node) for path, node in SPEC if node["type"] == "integer"])
def test_every_number_of_a_spec_is_bounded(path: str, node: Node) -> None:
    assert node["minimum"] < node["maximum"]


@each([(path, node) for path, node in ALL if VALIDATIONS in node])
def test_every_rule_has_words_for_whoever_breaks_it(path: str, node: Node) -> None:
    for rule in node[VALIDATIONS]:
        assert rule.keys() == {"rule", "message"}
        assert len(rule["message"]) > 10


def test_only_default_keeps_a_fresh_object_from_reading_as_done() -> None:
    assert [path for path, node in ALL if "default" in node] == ["object.status"]
    assert SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_spec_and_config_are_all_that_must_be_there() -> None:
    assert SCHEMA["required"] == ["spec"]
    assert SCHEMA["properties"]["spec"]["required"] == ["config"]


def test_name_is_short_enough_for_a_label() -> None:
    (rule,) = SCHEMA[VALIDATIONS]

    assert rule["rule"] == "size(self.metadata.name) <= 63"


def test_names_are_those_of_the_design() -> None:
    assert CRD["metadata"]["name"] == "configbuilds.ade.dev"
    assert CRD["spec"]["group"] == "ade.dev"
    assert CRD["spec"]["scope"] == "Namespaced"
    assert CRD["spec"]["names"] == {
        "kind": "ConfigBuild",
        "listKind": "ConfigBuildList",
        "plural": "configbuilds",
        "singular": "configbuild",
        "shortNames": ["cb"],
        "categories": ["ade"],
    }
    assert (VERSION["name"], VERSION["served"], VERSION["storage"]) == ("v1alpha1", True, True)
    assert VERSION["subresources"] == {"status": {}}


def test_columns_are_those_of_the_design_and_lead_to_fields() -> None:
    columns = VERSION["additionalPrinterColumns"]
    known = {f".{path}" for path, _ in STATUS} | {".metadata.creationTimestamp"}

    shown = [column["name"] for column in columns if column["priority"] == 0]
    assert shown == ["Ready", "Phase", "Step", "Build", "Python", "Engine", "Age"]
    for column in columns:
        head, _, tail = column["jsonPath"].partition("[?(@.type==")
        assert head in known
        if tail:
            kind, _, field = tail.partition(")].")
            assert kind in ('"Ready"', '"Available"', '"Stalled"', '"Reconciling"')
            assert f"{head}[].{field}" in known


def test_conditions_are_a_map_by_type_so_that_others_can_add_theirs() -> None:
    conditions = SCHEMA["properties"]["status"]["properties"]["conditions"]

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_checked_in_definition_is_what_the_models_give() -> None:
    assert CHECKED_IN.read_text(encoding="utf-8") == render_yaml()
    assert yaml.safe_load(render_yaml()) == CRD


def test_rendered_definition_can_be_read_by_people() -> None:
    # Anchors and aliases (&id001, *id001) are YAML, and nobody wants to read them.
    tokens = yaml.scan(render_yaml())

    assert not any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in tokens)
