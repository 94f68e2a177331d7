"""`pylock.toml`: what can be locked is, by PEP 751; the rest is listed with a reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock

from configbuild.interpreters import Interpreter
from configbuild.lockfile import make_lock
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
from tests.unit.examples import DETERMINED

PYTHON = Interpreter(path=Path("/opt/python3.12"), version="3.12.4", platform="linux-aarch64")
ONE, OTHER = "1" * 64, "2" * 64
WHEEL = WheelFile(name="a-1.0-py3-none-any.whl", sha256=ONE, url="https://h/a-1.0-py3-none-any.whl")
A = Distribution(name="a", version="1.0")


def read(*found: tuple[Distribution, Origin]) -> tuple[Pylock, dict[str, Any]]:
    document = tomllib.loads(make_lock(found, build_id="build_1", interpreter=PYTHON))
    lock = Pylock.from_dict(document)
    lock.validate()
    return lock, document["tool"]["configbuild"]


def test_lock_says_for_which_environment_it_is() -> None:
    lock, more = read()

    assert [str(each) for each in lock.environments or ()] == [
        'python_version == "3.12" and sys_platform == "linux" and platform_machine == "aarch64"'
    ]
    assert str(lock.requires_python) == ">=3.12"
    assert (lock.created_by, more["build-id"], more["complete"]) == ("configbuild", "build_1", True)


def test_wheel_of_an_index_is_locked_by_address_and_hash() -> None:
    lock, more = read((A, FromIndex(wheels=(WHEEL,))))

    (package,) = lock.packages
    assert (package.name, str(package.version)) == ("a", "1.0")
    assert package.wheels is not None
    assert (package.wheels[0].url, package.wheels[0].hashes) == (WHEEL.url, {"sha256": ONE})
    assert more["unlocked"] == []


def test_all_wheels_are_listed_where_it_is_not_known_which_was_installed() -> None:
    other = WheelFile(
        name="a-1.0-cp312-cp312-any.whl", sha256=OTHER, url="https://h/a-1.0-cp312-cp312-any.whl"
    )
    lock, _ = read((A, FromIndex(wheels=(WHEEL, other))))

    (package,) = lock.packages
    assert [each.filename for each in package.wheels or ()] == [other.name, WHEEL.name]


def test_commit_is_locked_without_a_version_since_it_is_a_tree() -> None:
    source = Repository(url="https://h/r.git", named="refs/heads/main", commit="c" * 40, path="cfg")
    lock, more = read((A, Built(source=source, wheel=WHEEL)))

    (package,) = lock.packages
    assert package.version is None
    assert package.vcs is not None
    assert (package.vcs.commit_id, package.vcs.subdirectory) == ("c" * 40, "cfg")
    assert package.vcs.requested_revision == "refs/heads/main"
    assert more["complete"] is True


@pytest.mark.parametrize("built", [True, False])
def test_archive_is_locked_by_its_hash(built: bool) -> None:
    archive = Archive(url="https://h/a.tar.gz", sha256=OTHER)
    lock, _ = read((A, Built(source=archive, wheel=WHEEL) if built else archive))

    (package,) = lock.packages
    assert package.archive is not None
    assert (package.archive.url, package.archive.hashes) == (archive.url, {"sha256": OTHER})
    assert package.archive.subdirectory is None
    assert (package.version is None) == built


@pytest.mark.parametrize(
    ("origin", "row"),
    [
        pytest.param(
            Built(source=LocalTree(digest="d"), wheel=WHEEL),
            {
                "reason": "built from a source tree that has no address",
                "wheel-sha256": ONE,
                "tree-digest": "d",
            },
            id="tree",
        ),
        pytest.param(
            FromIndex(wheels=(WheelFile(name=WHEEL.name, sha256=ONE),)),
            {"reason": "the address of its wheel is not known", "wheel-sha256": ONE},
            id="no address",
        ),
        pytest.param(Unknown(why="nobody looked"), {"reason": "nobody looked"}, id="unknown"),
    ],
)
def test_what_cannot_be_locked_is_listed_with_the_reason(
    origin: Origin, row: dict[str, str]
) -> None:
    lock, more = read((A, origin))

    assert lock.packages == []
    assert more["complete"] is False
    assert more["unlocked"] == [{"name": "a", "version": "1.0", **row}]


def test_wheel_of_another_package_or_version_is_not_locked() -> None:
    other = Distribution(name="b", version="1.0")
    newer = Distribution(name="a", version="2.0")

    lock, more = read(*((each, FromIndex(wheels=(WHEEL,))) for each in (other, newer)))

    assert lock.packages == []
    assert ["PEP 751 does not allow it" in row["reason"] for row in more["unlocked"]] == [True] * 2


def test_version_that_is_none_is_not_locked() -> None:
    _, more = read((Distribution(name="a", version="one"), FromIndex(wheels=(WHEEL,))))

    assert more["unlocked"][0]["reason"] == "its version is none of PEP 440"


NAMES = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True)
# What the collector lets through.
VERSIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,12}", fullmatch=True)
WHEELS = st.builds(
    WheelFile,
    name=st.sampled_from([WHEEL.name, "x.whl", "a-1.0-1-py3-none-any.whl"])
    | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,30}\.whl", fullmatch=True),
    sha256=st.just(ONE),
    url=st.none() | st.just(WHEEL.url) | st.builds("https://h/{}".format, st.text(max_size=8)),
    path=st.none() | st.just("/wheels/a-1.0-py3-none-any.whl"),
)
ORIGINS = (
    st.builds(FromIndex, wheels=st.lists(WHEELS, max_size=3).map(tuple))
    | st.builds(Unknown, why=st.text(max_size=20))
    | st.builds(Built, source=st.just(LocalTree(digest="d")), wheel=WHEELS)
    | st.builds(Archive, url=st.just("https://h/a.zip"), sha256=st.just(ONE), path=st.just("."))
)
FOUND = st.lists(
    st.tuples(st.builds(Distribution, name=NAMES, version=VERSIONS), ORIGINS),
    max_size=4,
    unique_by=lambda pair: pair[0].name,
)


@DETERMINED
@given(FOUND)
def test_whatever_was_found_the_lock_is_valid_and_names_each_once(
    found: list[tuple[Distribution, Origin]],
) -> None:
    lock, more = read(*found)

    named = [package.name for package in lock.packages] + [row["name"] for row in more["unlocked"]]
    assert sorted(named) == sorted(distribution.name for distribution, _ in found)


@DETERMINED
@given(FOUND)
def test_order_does_not_matter(found: list[tuple[Distribution, Origin]]) -> None:
    texts = {
        make_lock(each, build_id="build_1", interpreter=PYTHON) for each in (found, found[::-1])
    }
    assert len(texts) == 1
