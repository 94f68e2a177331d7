"""The events of a build and their form on the wire: one JSON object a line (NDJSON). Pure.

An event is an envelope (``id``, ``build_id``, time) around a body. The first event of a build is
its :class:`BuildCreated`, the last its one :class:`BuildCompleted`. ``id`` counts 1, 2, 3 … within
a build and is the cursor with which a reader resumes. An id is an event's, or a :class:`BuildGap`
tells of it.

Every line begins with the same bytes up to the id, so that a reader can find an id in a journal by
bisection without parsing JSON; :func:`line_id` is the one place that knows where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import orjson

from configbuild.model import BuildId, BuildStatus, Step, StepStatus, Stream, Trigger

OBJECT = "ade.build.event"

_ID_PREFIX = b'{"object":"ade.build.event","id":'

# Within a string the quotes would be escaped, so these stand nowhere else.
_COMPLETES = b'"type":"build.completed"'
_IS_GAP = b'"type":"build.gap"'
# The envelope and the type take some 190 bytes, and what follows the type is not text yet.
_HEAD_BYTES = 220

# Line separators of Unicode: valid inside JSON, yet str.splitlines() and some readers of NDJSON
# break lines at them. They can only stand inside strings, so bytes can be replaced blindly.
_SEPARATORS = (
    (b"\xe2\x80\xa8", rb"\u2028"),
    (b"\xe2\x80\xa9", rb"\u2029"),
    (b"\xc2\x85", rb"\u0085"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCreated:
    """The build exists; nothing has run yet.

    ``config_uid`` tells a deleted and recreated config apart; empty where nobody knew it.
    """

    TYPE: ClassVar[Literal["build.created"]] = "build.created"
    status: BuildStatus
    config_id: str
    workspace_id: str
    trigger: Trigger
    config_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStep:
    """A step began (``running``) or ended; only then are duration and exit code known."""

    TYPE: ClassVar[Literal["build.step"]] = "build.step"
    step: Step
    status: StepStatus
    message: str
    duration_ms: int | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildLog:
    """One line of output; ``continued`` marks a piece after which the same line goes on."""

    TYPE: ClassVar[Literal["build.log"]] = "build.log"
    step: Step
    stream: Stream
    message: str
    continued: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCompleted:
    """The build ended; no event follows."""

    TYPE: ClassVar[Literal["build.completed"]] = "build.completed"
    status: BuildStatus
    exit_code: int | None
    summary: str | None
    error_message: str | None = None
    reason: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildGap:
    """Log lines were left out, since a log has a limit: those from ``first_id`` to this id."""

    TYPE: ClassVar[Literal["build.gap"]] = "build.gap"
    first_id: int
    lines: int


Body = BuildCreated | BuildStep | BuildLog | BuildGap | BuildCompleted
BODIES: tuple[type[Body], ...] = (BuildCreated, BuildStep, BuildLog, BuildGap, BuildCompleted)
_BODY_BY_TYPE: dict[str, type[Body]] = {body.TYPE: body for body in BODIES}
_COERCE: dict[str, Any] = {
    "BuildStatus": BuildStatus,
    "Trigger": Trigger,
    "Step": Step,
    "StepStatus": StepStatus,
    "Stream": Stream,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event with its envelope; ``time`` is aware and in UTC."""

    id: int
    build_id: BuildId
    time: datetime
    body: Body

    @property
    def created(self) -> int:
        """The time in whole Unix seconds, as the former service gave it."""
        return int(self.time.timestamp())


def escape_separators(encoded: bytes) -> bytes:
    """Escape U+2028, U+2029 and U+0085 in encoded JSON, of one line or of many at once."""
    if encoded.isascii():  # 30 times faster than to look for each
        return encoded
    for raw, escaped in _SEPARATORS:
        if raw in encoded:
            encoded = encoded.replace(raw, escaped)
    return encoded


def rfc3339(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always of the same width."""
    # At a restart every time of every status comes by; nearly all of them are in UTC already.
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def encode_line(event: Event) -> bytes:
    r"""One event as a line of NDJSON, its ``\n`` included."""
    body = event.body
    data: dict[str, Any] = {
        "object": OBJECT,
        "id": event.id,
        "build_id": event.build_id,
        "created": event.created,
        "time": rfc3339(event.time),
        "type": body.TYPE,
    }
    for field in fields(body):
        value = getattr(body, field.name)
        if field.name == "continued" and not value:
            continue
        data[field.name] = _encodable(value) if type(value) is str else value
    return escape_separators(orjson.dumps(data)) + b"\n"


class LogLineEncoder:
    """Encodes the output lines of one stream of one step: the same bytes as :func:`encode_line`.

    Log lines come by the hundred thousand: all that is constant in a batch is encoded once, the
    messages in one call, and nothing is done by Python code line by line.
    """

    def __init__(self, *, build_id: BuildId, step: Step, stream: Stream) -> None:
        self._build_id = build_id.encode()
        tail = f'"type":"build.log","step":"{step}","stream":"{stream}","message":'
        self._tail = tail.encode()

    def encode(
        self, messages: Sequence[str], *, first_id: int, time: datetime, continued: bool = False
    ) -> bytes:
        """Encode lines with ids from ``first_id`` on, all with the same time.

        ``continued`` if each is a piece of a line that is too long for one event.
        """
        count = len(messages)
        parts = [b""] * (5 * count)
        parts[0::5] = [_ID_PREFIX] * count
        parts[1::5] = _dump_each(range(first_id, first_id + count))
        parts[2::5] = [self._middle(time)] * count
        parts[3::5] = _dump_each(messages)
        parts[4::5] = [b',"continued":true}\n' if continued else b"}\n"] * count
        return b"".join(parts)

    def _middle(self, time: datetime) -> bytes:
        return b',"build_id":"%b","created":%d,"time":"%b",%b' % (
            self._build_id,
            int(time.timestamp()),
            rfc3339(time).encode(),
            self._tail,
        )


def _dump_each(values: Sequence[str] | Sequence[int]) -> list[bytes]:
    """Encode each value on its own, though in one call: 6 times faster."""
    if not values:
        return []
    # Indented, each stands on a line of its own; no string can hold a raw newline once encoded.
    dumped = escape_separators(orjson.dumps(list(values), option=orjson.OPT_INDENT_2))
    return dumped[len(b"[\n  ") : -len(b"\n]")].split(b",\n  ")


def _encodable(text: str) -> str:
    """Escape lone surrogates, as in the name of a file that is no UTF-8: JSON cannot hold them."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def line_id(line: bytes) -> int:
    """Read the id of an encoded line, or of the beginning of one; ``ValueError`` if it has none."""
    if not line.startswith(_ID_PREFIX):
        raise ValueError(f"not an event line: {line[:64]!r}")
    end = line.index(b",", len(_ID_PREFIX))
    return int(line[len(_ID_PREFIX) : end])


def completes(line: bytes) -> bool:
    """Tell whether an encoded line is the one that ends its build, without parsing it.

    Looks at the part before any text of a build's, which could hold the same words.
    """
    return _COMPLETES in line[:_HEAD_BYTES]


def is_gap(line: bytes) -> bool:
    """Tell whether an encoded line is a gap, without parsing it."""
    return _IS_GAP in line[:_HEAD_BYTES]


def decode_line(line: bytes) -> Event:
    """Read one line of NDJSON back; ``ValueError`` if it is not an event.

    Unknown fields are ignored, so that a journal of a later version can be read.
    """
    data = orjson.loads(line)
    try:
        body_type = _BODY_BY_TYPE[data["type"]]
        known = {
            field.name: _coerce(field.type, data[field.name])
            for field in fields(body_type)
            if field.name in data
        }
        return Event(
            id=data["id"],
            build_id=BuildId.parse(data["build_id"]),
            time=datetime.fromisoformat(data["time"]),
            body=body_type(**known),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a build event ({error}): {line[:200]!r}") from error


def _coerce(annotation: Any, value: Any) -> Any:
    return _COERCE[annotation](value) if annotation in _COERCE else value
