"""The operator's log as JSON: one object a line, with the build and the config as fields."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from configbuild.model import BuildId, ConfigKey
from configbuild.operatorlog import JsonLines

BUILD = BuildId.parse("build_01JD9V0Q6BX7ZQ4V7E3MPK2T5C")


def line(message: str, *arguments: object, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord(
        "configbuild.x", logging.WARNING, __file__, 1, message, arguments, more.get("exc_info")
    )
    written = JsonLines().format(record)
    assert "\n" not in written
    told: dict[str, Any] = json.loads(written)
    return told


def test_build_and_config_among_the_arguments_become_fields() -> None:
    told = line("build %s of %s: %s", BUILD, ConfigKey("team-a", "invoices"), "queued\nat last")
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "warning",
        "logger": "configbuild.x",
        "message": f"build {BUILD} of team-a/invoices: queued\nat last",
        "build_id": BUILD,
        "workspace_id": "team-a",
        "config_id": "invoices",
    }


def test_other_arguments_and_none_are_no_fields() -> None:
    assert set(line("nothing")) == {"time", "level", "logger", "message"}
    assert set(line("%s", str(BUILD))) == {"time", "level", "logger", "message"}
    assert line("%(id)s ended", {"id": BUILD})["build_id"] == BUILD


def test_exception_is_told_in_the_same_line() -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        told = line("failed", exc_info=sys.exc_info())
    assert told["exception"].endswith("ValueError: no good")
