"""Requirements in one normal form, which is one argument or one line of a file, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from configbuild.errors import SpecError
from configbuild.requirements import normalize_requirement, requirement_name
from tests.unit.examples import DETERMINED

FIELD = "spec.config.requirement"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        pytest.param("ade-config", "ade-config", id="name alone"),
        pytest.param("Ade__Config.X", "ade-config-x", id="name in its PEP 503 form"),
        pytest.param("a >= 1 , < 2", "a<2,>=1", id="bounds in one order"),
        pytest.param("a (>=1)", "a>=1", id="brackets of old metadata"),
        pytest.param("a[z, b]", "a[b,z]", id="extras in one order"),
        pytest.param("a;python_version<'4'", 'a; python_version < "4"', id="marker"),
        pytest.param("a===1.0-odd", "a===1.0-odd", id="arbitrary equality"),
    ],
)
def test_equal_requirements_are_written_alike(text: str, normal: str) -> None:
    assert normalize_requirement(text, FIELD) == normal


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("-r requirements.txt", id="option"),
        pytest.param("--index-url=https://x", id="long option"),
        pytest.param("a --pre", id="option behind a name"),
        pytest.param("./a", id="path"),
        pytest.param("file:///a.whl", id="file URL"),
        pytest.param("git+https://x/y", id="git URL"),
        pytest.param("https://x/y.whl", id="URL"),
        pytest.param("a>=one", id="version that is none"),
        pytest.param("a\nb", id="two lines"),
        pytest.param("a # b", id="comment"),
    ],
)
def test_what_is_no_requirement_is_refused_naming_the_field(text: str) -> None:
    with pytest.raises(SpecError, match=r"not a requirement \(PEP 508\)") as caught:
        normalize_requirement(text, FIELD)

    assert caught.value.field == FIELD
    assert caught.value.message.startswith(FIELD)
    assert repr(text) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["a @ https://x/a.whl", "a@file:///a", "a[x]@git+https://x/y"])
def test_direct_reference_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="name a package of an index instead"):
        normalize_requirement(text, FIELD)


NAMES = st.text("aZ09._-", min_size=1, max_size=8)
REQUIREMENTS = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}{}{}".format,
        NAMES,
        st.sampled_from(["", "[x]", "[Y_z,x]", " "]),
        st.sampled_from(["", ">=1", "==1.*", "~=2.0,!=2.1", "===-r", " (<3)"]),
        st.builds("; os_name == '{}'".format, st.text(max_size=6)) | st.just(""),
    ),
)


@DETERMINED
@given(REQUIREMENTS)
@example("a_")
@example("a; os_name == '\u2028--index-url=https://elsewhere'")
@example("a; os_name == '\u000c-r/etc/passwd'")
@example("a; os_name == '\u0085'")
def test_normal_form_is_stable_one_line_and_never_an_option(text: str) -> None:
    try:
        normal = normalize_requirement(text, FIELD)
    except SpecError:
        return

    assert normalize_requirement(normal, FIELD) == normal
    # What pip takes for lines of a file of constraints.
    assert normal.splitlines() == [normal]
    assert normal[0].isalnum()
    assert requirement_name(normal)


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("ade-engine", "ade-engine"), ("ade-engine[x]<2; os_name == 'posix'", "ade-engine")],
)
def test_requirement_names_its_distribution(requirement: str, name: str) -> None:
    assert requirement_name(requirement) == name
