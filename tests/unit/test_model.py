"""Ids, keys and words of a build."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ulid import ULID

from configbuild.model import BuildId, BuildStatus, ConfigKey, Step
from tests.unit.examples import build_id, spec

ULID_TEXT = "01JB2Z5V7T3QK8M4N6P9R0S1XA"


def test_new_id_can_be_parsed_and_tells_when_it_was_made() -> None:
    before = datetime.now(UTC)
    made = BuildId.new()

    assert BuildId.parse(made) == made
    told = ULID.from_str(made.removeprefix("build_")).timestamp
    assert abs(told - before.timestamp()) < 60


def test_two_new_ids_differ() -> None:
    assert len({BuildId.new() for _ in range(1000)}) == 1000


def test_id_and_its_name_for_files_lead_to_each_other() -> None:
    found = BuildId.parse(f"build_{ULID_TEXT}")

    assert found.ulid == ULID_TEXT.lower()
    assert BuildId.from_ulid(found.ulid) == found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(ULID_TEXT, id="no prefix"),
        pytest.param(f"build_{ULID_TEXT[1:]}", id="too short"),
        pytest.param(f"build_{ULID_TEXT}0", id="too long"),
        pytest.param(f"build_{ULID_TEXT}\n", id="newline at its end"),
        pytest.param(f"build_{ULID_TEXT.lower()}", id="lower case"),
        pytest.param(f"build_8{ULID_TEXT[1:]}", id="beyond 128 bits"),
        pytest.param(f"build_{ULID_TEXT[:-1]}U", id="letter that ULIDs leave out"),
        pytest.param("build_../../../../etc/passwd000", id="path"),
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a build id"):
        BuildId.parse(text)


@pytest.mark.parametrize(
    "ulid",
    [
        pytest.param(ULID_TEXT, id="capitals"),
        pytest.param(ULID_TEXT.lower().replace("s", "\u017f"), id="letter that is S in capitals"),
        pytest.param(ULID_TEXT.lower()[1:], id="too short"),
        pytest.param(f"../{ULID_TEXT.lower()}", id="path"),
    ],
)
def test_what_names_no_file_of_a_build_has_no_id(ulid: str) -> None:
    with pytest.raises(ValueError, match="not a build id"):
        BuildId.from_ulid(ulid)


def test_key_is_written_as_namespace_and_name() -> None:
    assert str(ConfigKey("team-a", "invoices")) == "team-a/invoices"


def test_keys_sort_by_namespace_first() -> None:
    keys = [ConfigKey("b", "a"), ConfigKey("a", "b"), ConfigKey("a", "a")]

    assert [str(key) for key in sorted(keys)] == ["a/a", "a/b", "b/a"]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (BuildStatus.QUEUED, False),
        (BuildStatus.BUILDING, False),
        (BuildStatus.ACTIVE, True),
        (BuildStatus.FAILED, True),
        (BuildStatus.CANCELED, True),
    ],
)
def test_build_has_ended_or_has_not(status: BuildStatus, *, ended: bool) -> None:
    assert status.ended is ended


def test_steps_are_those_of_the_specification_in_their_order() -> None:
    assert list(Step) == [
        "fetch_config",
        "create_venv",
        "upgrade_pip",
        "install_engine",
        "install_config",
        "verify_imports",
        "collect_metadata",
    ]


def test_spec_is_immutable_through_and_through() -> None:
    assert hash(spec()) == hash(spec())


def test_examples_of_ids_sort_by_number() -> None:
    assert sorted([build_id(2), build_id(10), build_id(1)]) == [
        build_id(1),
        build_id(2),
        build_id(10),
    ]
