"""What the schema refuses and takes, in Python; a test in tests/cluster asks the API server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from configbuild.errors import SpecError
from configbuild.resource.convert import SpecDefaults, parse_spec, resolve_spec
from configbuild.resource.crd import structural_schema
from configbuild.resource.rules import VALIDATIONS
from tests.unit.bad_specs import (
    GOOD_SPECS,
    REFUSED_BY_OPERATOR,
    REFUSED_BY_SCHEMA,
    BadSpec,
    Spec,
)

DEFAULTS = SpecDefaults(python="3.12", engine="ade-engine==1.4.0")
SCHEMA = structural_schema()["properties"]["spec"]


def nodes(schema: dict[str, Any], path: str = "spec") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


RULES = [
    pytest.param(rule, id=f"{path}: {rule['message'][:40]}")
    for path, node in nodes(SCHEMA)
    for rule in node.get(VALIDATIONS, [])
]


@pytest.mark.parametrize("case", REFUSED_BY_SCHEMA, ids=lambda case: case.name)
def test_bad_spec_is_refused_at_its_field_in_words_that_help(case: BadSpec) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(case.spec)

    assert caught.value.field == case.field
    assert caught.value.message.startswith(f"{case.field}: ")
    assert case.message in caught.value.message
    assert caught.value.reason == "InvalidSpec"


@pytest.mark.parametrize("case", REFUSED_BY_OPERATOR, ids=lambda case: case.name)
def test_what_only_python_can_judge_is_refused_at_its_field_too(case: BadSpec) -> None:
    with pytest.raises(SpecError) as caught:
        resolve_spec(parse_spec(case.spec), DEFAULTS)

    assert caught.value.field == case.field
    assert case.message in caught.value.message


@pytest.mark.parametrize("spec", GOOD_SPECS.values(), ids=GOOD_SPECS)
def test_good_spec_is_taken_as_it_was_written(spec: Spec) -> None:
    parsed = parse_spec(spec)

    assert parsed.model_dump(by_alias=True, exclude_unset=True) == spec


@pytest.mark.parametrize("spec", GOOD_SPECS.values(), ids=GOOD_SPECS)
def test_good_spec_can_be_built_from(spec: Spec) -> None:
    assert resolve_spec(parse_spec(spec), DEFAULTS)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_spec_that_breaks_it(rule: dict[str, str]) -> None:
    assert any(case.message in rule["message"] for case in REFUSED_BY_SCHEMA)


@pytest.mark.parametrize("rule", RULES)
def test_patterns_hold_nothing_that_python_and_the_api_server_read_differently(
    rule: dict[str, str],
) -> None:
    # \s, \w and \d are ASCII in RE2 and Unicode in Python; RE2's \s leaves out a vertical tab.
    assert set(re.findall(r"\\\\([a-zA-Z])", rule["rule"])) <= {"r", "n", "t"}


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in (*REFUSED_BY_SCHEMA, *REFUSED_BY_OPERATOR)]

    assert len(names) == len(set(names))


def test_cases_are_json_so_that_an_api_server_can_be_asked() -> None:
    for case in (*REFUSED_BY_SCHEMA, *REFUSED_BY_OPERATOR):
        assert json.loads(json.dumps(case.spec)) == case.spec
    assert json.loads(json.dumps(GOOD_SPECS)) == GOOD_SPECS
