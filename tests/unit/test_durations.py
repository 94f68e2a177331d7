"""Durations as Kubernetes writes them, and as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.durations import format_duration, parse_duration
from tests.unit.examples import DETERMINED

PARTS = st.integers(0, 999)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1m1ms", 60.001),
        ("1m1m", 120),
        ("168h", 604800),
    ],
)
def test_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@DETERMINED
@given(PARTS, PARTS, PARTS, PARTS)
def test_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int, ms: int) -> None:
    expected = hours * 3600 + minutes * 60 + seconds + ms / 1000

    assert parse_duration(f"{hours}h{minutes}m{seconds}s{ms}ms") == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("10", id="no unit"),
        pytest.param("m", id="no number"),
        pytest.param("10 m", id="space"),
        pytest.param("-10m", id="sign"),
        pytest.param("1d", id="days"),
        pytest.param("1us", id="microseconds"),
        pytest.param("10m\n", id="newline at its end"),
        pytest.param("1e3s", id="exponent"),
        pytest.param("1.s", id="point without digits"),
        pytest.param("\u0663s", id="digit that is not ASCII"),
        pytest.param("infs", id="infinity"),
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write for instance 90s, 10m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.34, "340ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (12.34, "12.3s"),
        (59.94, "59.9s"),
        (59.96, "1m00s"),
        (245, "4m05s"),
        (3599.4, "59m59s"),
        (3599.6, "1h00m"),
        (7800, "2h10m"),
        (604800, "168h00m"),
    ],
)
def test_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@DETERMINED
@given(st.floats(0, 1e7))
def test_what_is_written_is_a_duration_as_long_as_the_rounded_one(seconds: float) -> None:
    rounding = 0.0005 if seconds < 1 else 0.05 if seconds < 60 else 0.5 if seconds < 3600 else 60

    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=rounding + 1e-6)
