"""What there is to warn of: told once when it begins, once when it is over, and meanwhile."""

from __future__ import annotations

import logging

import pytest

from configbuild.notices import Notices


def test_log_tells_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    notices = Notices()

    notices.end("disk", "there is room again")
    notices.begin("disk", "no room")
    notices.begin("disk", "no room at all")
    notices.end("disk", "there is room again")
    notices.end("disk", "there is room again")

    told = [(record.levelname, record.message) for record in caplog.records]
    assert told == [("WARNING", "no room"), ("INFO", "there is room again")]


def test_newest_text_of_each_subject_stands_until_it_is_over() -> None:
    notices = Notices()
    notices.begin("disk", "no room")
    notices.begin("clock", "off by 31 s")
    notices.begin("disk", "no room at all")

    assert notices.texts() == ["no room at all", "off by 31 s"]
    notices.end("disk", "there is room again")
    assert notices.texts() == ["off by 31 s"]
