"""The operator's own log: lines for people, or one JSON object a line for what collects logs.

::

    {"time":"2026-03-01T12:30:45.123456Z","level":"info","logger":"configbuild.builds.attempt",
     "message":"build build_01JD…: install_engine succeeded","build_id":"build_01JD…"}

Whoever logs names builds and configs as it likes: what of them is among a message's arguments
becomes a field, by its type. The names of the fields are those of a build's events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from configbuild.events import rfc3339
from configbuild.model import BuildId, ConfigKey

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up(level: str, form: Literal["text", "json"]) -> None:
    """Have everything of this process logged to standard error, in that form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler])


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object, without a line break in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Write it; a field that is not known is left out."""
        line: dict[str, Any] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for argument in _arguments(record):
            match argument:
                case BuildId():
                    line.setdefault("build_id", argument)
                case ConfigKey():
                    line.setdefault("workspace_id", argument.namespace)
                    line.setdefault("config_id", argument.name)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _arguments(record: logging.LogRecord) -> Iterator[object]:
    match record.args:
        case Mapping():
            yield from record.args.values()
        case tuple():
            yield from record.args
