"""Addresses without secrets, and which of several wheels was installed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.origins import (
    Archive,
    Built,
    Distribution,
    FromIndex,
    LocalTree,
    Unknown,
    WheelFile,
    public_url,
    those_of,
    whole_hash,
)
from tests.unit.examples import DETERMINED


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://h/f/a-1-py3-none-any.whl", "https://h/f/a-1-py3-none-any.whl"),
        ("https://user:pass@h:8443/a.whl", "https://h:8443/a.whl"),
        ("https://h/a.whl?X-Signature=s&e=1#sha256=0", "https://h/a.whl"),
        ("https://[::1]:80/a.whl", "https://[::1]:80/a.whl"),
        ("file:///wheels/a.whl", None),
        ("https:///a.whl", None),
        ("https://h:port/a.whl", None),
        ("https://h/a\n.whl", None),
        ("https://h/\u202ea.whl", None),
        ("", None),
    ],
)
def test_address_is_told_without_what_may_be_secret(url: str, public: str | None) -> None:
    assert public_url(url) == public


@DETERMINED
@given(st.text(":/@?#[]a1%\n\u202e", max_size=12))
def test_no_login_and_no_signature_gets_through(rest: str) -> None:
    told = public_url(f"https://me:s3cret@h/{rest}?sig=s3cret#s3cret") or ""

    assert "s3cret" not in told
    assert told.isprintable()


def wheel(tag: str, number: str = "0") -> WheelFile:
    return WheelFile(name=f"a-1-{tag}.whl", sha256=number * 64)


ANY, LINUX, BUILD = (
    wheel("py3-none-any"),
    wheel("cp312-cp312-linux_x86_64"),
    wheel("7-py3-none-any"),
)
SEVERAL = wheel("py2.py3-none-any")


@pytest.mark.parametrize(
    ("wheels", "tags", "build", "chosen"),
    [
        pytest.param((ANY,), (), "", (ANY,), id="one is the one, whatever it says"),
        pytest.param((ANY, LINUX), ("cp312-cp312-linux_x86_64",), "", (LINUX,), id="by its tag"),
        pytest.param((ANY, BUILD), ("py3-none-any",), "7", (BUILD,), id="by its build number"),
        pytest.param(
            (ANY, SEVERAL), ("py2-none-any", "py3-none-any"), "", (SEVERAL,), id="by all its tags"
        ),
        pytest.param((ANY, LINUX), (), "", (ANY, LINUX), id="no tags"),
        pytest.param((ANY, LINUX), ("py3-none-any-x",), "", (ANY, LINUX), id="no tag at all"),
        pytest.param((ANY, LINUX), ("cp313-cp313-any",), "", (ANY, LINUX), id="a tag of neither"),
        pytest.param(
            (LINUX, WheelFile(name="no.whl", sha256="1")), (), "", None, id="a name that is none"
        ),
    ],
)
def test_wheel_that_was_installed_is_told_by_its_tags(
    wheels: tuple[WheelFile, ...],
    tags: tuple[str, ...],
    build: str,
    chosen: tuple[WheelFile, ...] | None,
) -> None:
    distribution = Distribution(name="a", version="1", tags=tags, build=build)

    assert those_of(wheels, distribution) == (wheels if chosen is None else chosen)


def test_hash_is_known_only_of_one_whole_file() -> None:
    tree = LocalTree(digest="d")
    assert whole_hash(FromIndex(wheels=(ANY,))) == "0" * 64
    assert whole_hash(Built(source=tree, wheel=ANY)) == "0" * 64
    assert whole_hash(Archive(url="https://h/a.whl", sha256="2" * 64)) == "2" * 64
    assert whole_hash(FromIndex(wheels=(ANY, LINUX))) is None
    assert whole_hash(Unknown(why="nobody looked")) is None
