"""`sbom.cdx.json`: valid by the official schema, whatever packages say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st

from configbuild.bom import Subject, make_bom
from configbuild.interpreters import Interpreter
from configbuild.origins import (
    Archive,
    Built,
    Distribution,
    FromIndex,
    LocalTree,
    Origin,
    Repository,
    Unknown,
    WheelFile,
)
from configbuild.steps.collect_metadata import text
from tests.unit.examples import DETERMINED

ONE = "1" * 64
WHEEL = WheelFile(name="a-1.0-py3-none-any.whl", sha256=ONE, url="https://h/a-1.0-py3-none-any.whl")
A = Distribution(name="a", version="1.0")
INDEX = FromIndex(wheels=(WHEEL,))
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def subject(*index_urls: str, build_id: str = "build_1") -> Subject:
    return Subject(
        build_id=build_id,
        workspace="team-a",
        config="invoices",
        verified="2026-03-01T12:30:45.123456Z",
        interpreter=Interpreter(path=Path("/p"), version="3.12.4", platform="linux-x86_64"),
        operator="1.2.3",
        index_urls=index_urls,
    )


def judged(text: str) -> dict[str, Any]:
    assert VALIDATOR.validate_str(text) is None
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


def component(
    distribution: Distribution = A, origin: Origin = INDEX, about: Subject | None = None
) -> dict[str, Any]:
    (found,) = judged(make_bom(about or subject(), [(distribution, origin)]))["components"]
    assert isinstance(found, dict)
    return found


def properties(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in found["properties"]}


def test_schema_refuses_what_is_no_bill() -> None:
    bill = json.loads(make_bom(subject(), [(A, INDEX)]))
    bill["components"][0]["hashes"][0]["content"] = "no hash"

    assert VALIDATOR.validate_str(json.dumps(bill)) is not None


def test_bill_is_of_one_build_and_says_who_wrote_it_when() -> None:
    bill = judged(make_bom(subject(), []))

    assert bill["specVersion"] == "1.6"
    assert bill["metadata"]["timestamp"] == "2026-03-01T12:30:45.123456Z"
    assert bill["metadata"]["component"]["name"] == "team-a/invoices"
    assert bill["metadata"]["component"]["version"] == "build_1"
    (tool,) = bill["metadata"]["tools"]["components"]
    assert (tool["name"], tool["version"]) == ("configbuild-operator", "1.2.3")


def test_serial_number_follows_from_the_build_and_is_no_other_s() -> None:
    one, again, other = (
        judged(make_bom(subject(build_id=each), []))["serialNumber"] for each in ("b1", "b1", "b2")
    )

    assert one == again != other


def test_equal_input_in_any_order_gives_equal_text() -> None:
    found = [(A, INDEX), (Distribution(name="b", version="1"), INDEX)]

    assert make_bom(subject(), found) == make_bom(subject(), found[::-1])


def test_wheel_of_an_index_has_hash_address_and_package_url() -> None:
    found = component()

    assert found["hashes"] == [{"alg": "SHA-256", "content": ONE}]
    assert found["purl"] == "pkg:pypi/a@1.0"
    (reference,) = found["externalReferences"]
    assert (reference["type"], reference["url"]) == ("distribution", WHEEL.url)


@pytest.mark.parametrize(
    ("urls", "version", "purl"),
    [
        ((), "1.0+cpu", "pkg:pypi/a@1.0%2Bcpu"),
        ((), "1!2", "pkg:pypi/a@1%212"),
        (
            ("https://h:1/simple",),
            "1",
            "pkg:pypi/a@1?repository_url=https%3A%2F%2Fh%3A1%2Fsimple",
        ),
        (("https://h/simple", "https://i/simple"), "1", "pkg:pypi/a@1"),
    ],
)
def test_package_url_names_the_index_where_there_is_but_one(
    urls: tuple[str, ...], version: str, purl: str
) -> None:
    distribution = Distribution(name="a", version=version)

    assert component(distribution, INDEX, subject(*urls))["purl"] == purl


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        (LocalTree(digest="d"), []),
        (Archive(url="https://h/a.zip", sha256="2" * 64), ["source-distribution"]),
        (
            Repository(url="https://h/r", named="refs/heads/m", commit="c" * 40, path="."),
            ["vcs"],
        ),
    ],
)
def test_what_was_built_has_the_hash_of_its_wheel_and_no_package_url(
    source: LocalTree | Archive | Repository, kinds: list[str]
) -> None:
    # By a package URL it would be taken for what a public index has by that name.
    found = component(A, Built(source=source, wheel=WHEEL))

    assert found["hashes"] == [{"alg": "SHA-256", "content": ONE}]
    assert "purl" not in found
    assert [each["type"] for each in found.get("externalReferences", [])] == kinds


def test_record_is_no_hash_of_the_component() -> None:
    distribution = Distribution(name="a", version="1.0", record_sha256="3" * 64)
    found = component(distribution, Unknown(why="nobody looked"))

    assert "hashes" not in found
    assert properties(found)["configbuild:record-sha256"] == "3" * 64
    assert properties(found)["configbuild:origin"] == "unknown: nobody looked"


@pytest.mark.parametrize(
    ("said", "licenses"),
    [
        ({"license_expression": "mit or apache-2.0"}, [{"expression": "MIT OR Apache-2.0"}]),
        ({"license_expression": "as I like"}, [{"license": {"name": "as I like"}}]),
        ({"licenses": ("MIT License",)}, [{"license": {"name": "MIT License"}}]),
        ({}, None),
    ],
)
def test_licence_is_told_as_the_package_has_it(said: Any, licenses: Any) -> None:
    assert component(Distribution(name="a", version="1", **said)).get("licenses") == licenses


TEXTS = st.text(max_size=40).map(text)
DISTRIBUTIONS = st.builds(
    Distribution,
    name=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True),
    version=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,12}", fullmatch=True),
    installer=TEXTS,
    summary=TEXTS,
    license_expression=TEXTS | st.sampled_from(["MIT", "MIT AND (", "LicenseRef-x", "()"]),
    licenses=st.lists(TEXTS.filter(bool), max_size=3).map(tuple),
)
ADDRESSES = st.none() | st.builds("https://h/{}".format, st.text(max_size=10))
WHEELS = st.builds(
    WheelFile, name=st.text(min_size=1, max_size=9), sha256=st.just(ONE), url=ADDRESSES
)
ORIGINS = (
    st.builds(FromIndex, wheels=st.lists(WHEELS, max_size=3).map(tuple))
    | st.builds(Unknown, why=TEXTS)
    | st.builds(Built, source=st.just(LocalTree(digest="d")), wheel=WHEELS)
)


@DETERMINED
@given(st.lists(st.tuples(DISTRIBUTIONS, ORIGINS), max_size=3, unique_by=lambda pair: pair[0].name))
def test_bill_is_valid_whatever_packages_say(found: list[tuple[Distribution, Origin]]) -> None:
    bill = judged(make_bom(subject(), found))

    assert [each["name"] for each in bill["components"]] == sorted(each.name for each, _ in found)
