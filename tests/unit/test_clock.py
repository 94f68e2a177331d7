"""The local clock against the times that answers bear."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from configbuild.kube.clock import ServerClock
from configbuild.notices import Notices

SERVER = 1_795_000_000.0


class Answers:
    """Answers that come a minute apart, unless told otherwise."""

    def __init__(self) -> None:
        self.notices = Notices()
        self.skews: list[float] = []
        self._now = 0.0
        self._clock = ServerClock(self.notices, told=self.skews.append, monotonic=lambda: self._now)

    def come(
        self, ahead_s: float, *, after_s: float = 60.0, took_s: float = 0.0, date: str | None = None
    ) -> list[str]:
        """Have one come that takes so long, from a server that looks at its clock midway."""
        self._now += after_s
        date = formatdate(SERVER, usegmt=True) if date is None else date
        # The header is cut: at half a second past, the two are as far apart as they seem.
        self._clock.heard(date, SERVER + 0.5 + ahead_s - took_s / 2, took_s)
        return self.notices.texts()


@pytest.mark.parametrize("ahead_s", [-3600.0, -31.0, -30.0, 0.0, 0.4, 30.0, 31.0, 3600.0])
def test_clock_is_warned_of_beyond_half_a_minute_either_way(ahead_s: float) -> None:
    answers = Answers()

    told = answers.come(ahead_s, took_s=1.5)

    assert answers.skews == [pytest.approx(ahead_s)]
    assert bool(told) == (abs(ahead_s) > 30)


def test_warning_says_by_how_much_and_which_way() -> None:
    (ahead,) = Answers().come(90)
    (behind,) = Answers().come(-45)

    assert ahead.startswith("the clock of this node is 90 s ahead of the API server's")
    assert behind.startswith("the clock of this node is 45 s behind the API server's")


def test_clock_is_looked_at_once_a_minute() -> None:
    answers = Answers()

    answers.come(0)
    answers.come(90, after_s=59)
    assert answers.skews == [pytest.approx(0)]
    assert answers.come(90, after_s=1)


@pytest.mark.parametrize(
    ("took_s", "date"), [(2.1, None), (0.0, ""), (0.0, "yesterday"), (0.0, "Tue, 99 Nov 2026")]
)
def test_answer_that_tells_nothing_is_passed_over_for_the_next(
    took_s: float, date: str | None
) -> None:
    answers = Answers()

    answers.come(90, took_s=took_s, date=date)

    assert answers.skews == []
    assert answers.come(90, after_s=0)


def test_clock_at_the_limit_is_not_told_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers()

    for ahead_s in (31, 29, 31, 29):
        assert answers.come(ahead_s)

    assert len(caplog.records) == 1
    assert answers.come(1) == []
