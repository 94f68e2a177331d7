"""The fingerprint: equal declarations have the same, and any change of one shows where it lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.fingerprint import Fingerprint, fingerprint
from configbuild.model import (
    BuildSpec,
    ConfigMapSource,
    IndexOptions,
    Installer,
    InstallOptions,
    PathSource,
    RequirementSource,
)
from tests.unit.examples import DETERMINED, spec

INPUTS = {
    "engine",
    "config",
    "python",
    "platform",
    "installer",
    "constraints",
    "index",
    "options",
    "verify",
}
TREES = spec(engine=PathSource(path="engine"), config=PathSource(path="rules"))


def of(made: BuildSpec, **changes: Any) -> Fingerprint:
    usual: dict[str, Any] = {
        "engine_digest": "e" * 64,
        "config_digest": "c" * 64,
        "platform": "linux-x86_64",
    }
    return fingerprint(made, **{**usual, **changes})


def install(**changes: Any) -> BuildSpec:
    return replace(TREES, install=replace(TREES.install, **changes))


def indexes(*urls: str) -> IndexOptions:
    return IndexOptions(urls=urls)


def test_equal_specs_have_equal_fingerprints() -> None:
    assert of(replace(TREES)) == of(TREES)
    assert of(TREES).changed_from(of(TREES).inputs) == ()


def test_fingerprint_stays_the_same_from_version_to_version() -> None:
    # Another value here rebuilds every environment there is: then SCHEME has to change as well.
    value = "1536e0b3743cbd72c22df92781da0650fccc4d497f047fe04131d2b26e8262a5"
    assert of(spec()).value == value


def test_every_part_of_a_declaration_has_its_input() -> None:
    assert set(of(TREES).inputs) == INPUTS


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param(of(TREES, engine_digest="0" * 64), "engine", id="engine's tree"),
        pytest.param(of(TREES, config_digest="0" * 64), "config", id="config's tree"),
        pytest.param(of(TREES, platform="linux-aarch64"), "platform", id="platform"),
        pytest.param(
            of(replace(TREES, engine=RequirementSource(requirement="e" * 64))),
            "engine",
            id="engine by requirement, not from a tree",
        ),
        pytest.param(
            of(replace(TREES, config=RequirementSource(requirement="ade-config"))),
            "config",
            id="config by requirement, not from a tree",
        ),
        pytest.param(of(replace(TREES, python="3.13")), "python", id="python"),
        pytest.param(of(install(installer=Installer.PIP)), "installer", id="installer"),
        pytest.param(of(install(constraints=("a<3",))), "constraints", id="constraint"),
        pytest.param(of(install(index=indexes("https://a"))), "index", id="index"),
        pytest.param(of(install(dependencies=False)), "options", id="dependencies"),
        pytest.param(of(install(compile_bytecode=False)), "options", id="bytecode"),
        pytest.param(of(install(only_binary=True)), "options", id="wheels only"),
        pytest.param(of(replace(TREES, verify_imports=("ade_engine",))), "verify", id="imports"),
    ],
)
def test_change_gives_another_value_and_names_its_input(changed: Fingerprint, named: str) -> None:
    before = of(TREES)

    assert changed.value != before.value
    assert changed.changed_from(before.inputs) == (named,)


def test_order_of_indexes_counts() -> None:
    one = of(install(index=indexes("https://a", "https://b")))
    other = of(install(index=indexes("https://b", "https://a")))

    assert other.changed_from(one.inputs) == ("index",)


def test_options_are_told_apart() -> None:
    options = [
        InstallOptions(dependencies=False),
        InstallOptions(compile_bytecode=False),
        InstallOptions(only_binary=True),
    ]

    assert len({of(replace(TREES, install=each)).value for each in options}) == len(options)


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(replace(TREES, timeout_s=1.0), id="timeout"),
        pytest.param(replace(TREES, ttl_s=1.0), id="ttl"),
        pytest.param(replace(TREES, interval_s=None), id="interval"),
        pytest.param(replace(TREES, history_limit=0, retention_s=1.0), id="history"),
        pytest.param(install(index=IndexOptions(secret="login")), id="credentials"),
        pytest.param(replace(TREES, config=PathSource(path="moved")), id="place of the tree"),
        pytest.param(
            replace(TREES, config=ConfigMapSource(name="rules-v2")), id="kind of the tree's source"
        ),
    ],
)
def test_what_does_not_change_the_environment_does_not_change_the_fingerprint(
    same: BuildSpec,
) -> None:
    assert of(same) == of(TREES)


def test_digest_of_no_tree_is_not_asked_for() -> None:
    assert of(spec(), engine_digest=None, config_digest=None) == of(spec())


WORDS = st.text(max_size=3)
URLS = st.lists(WORDS, max_size=2).map(tuple)
DECLARED: dict[str, st.SearchStrategy[Any]] = {
    "engine": WORDS.map(lambda text: RequirementSource(requirement=text)),
    "config": WORDS.map(lambda text: RequirementSource(requirement=text)),
    "python": WORDS,
    "installer": st.sampled_from(Installer),
    "constraints": URLS,
    "index": URLS,
    "options": st.tuples(st.booleans(), st.booleans(), st.booleans()),
    "verify": URLS,
    "platform": WORDS,
}


def declared(parts: dict[str, Any]) -> Fingerprint:
    dependencies, compile_bytecode, only_binary = parts["options"]
    made = spec(
        engine=parts["engine"],
        config=parts["config"],
        python=parts["python"],
        install=InstallOptions(
            installer=parts["installer"],
            dependencies=dependencies,
            constraints=parts["constraints"],
            index=IndexOptions(urls=parts["index"]),
            compile_bytecode=compile_bytecode,
            only_binary=only_binary,
        ),
        verify_imports=parts["verify"],
    )
    return of(made, platform=parts["platform"])


@DETERMINED
@given(st.fixed_dictionaries(DECLARED), st.data())
def test_exactly_the_parts_that_differ_are_named(
    before: dict[str, Any], data: st.DataObject
) -> None:
    edited = data.draw(st.sets(st.sampled_from(sorted(DECLARED))))
    after = before | {name: data.draw(DECLARED[name]) for name in sorted(edited)}
    differing = tuple(sorted(name for name in before if before[name] != after[name]))

    old, new = declared(before), declared(after)

    assert new.changed_from(old.inputs) == differing
    assert (new.value == old.value) is (not differing)


@pytest.mark.parametrize(
    ("before", "named"),
    [
        pytest.param({}, ("a", "b"), id="nothing known"),
        pytest.param({"a": "1", "b": "2"}, (), id="all the same"),
        pytest.param({"b": "2"}, ("a",), id="input that is new"),
        pytest.param({"a": "1", "b": "2", "c": "3"}, ("c",), id="input that is gone"),
        pytest.param({"b": "1", "a": "2"}, ("a", "b"), id="sorted"),
    ],
)
def test_changes_are_told_from_the_inputs_alone(
    before: dict[str, str], named: tuple[str, ...]
) -> None:
    made = Fingerprint(value="x", inputs={"a": "1", "b": "2"})

    assert made.changed_from(before) == named
