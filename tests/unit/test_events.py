"""Events on the wire: the very bytes of each type, and back again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configbuild.events import (
    BODIES,
    Body,
    BuildCompleted,
    BuildCreated,
    BuildGap,
    BuildLog,
    BuildStep,
    Event,
    LogLineEncoder,
    decode_line,
    encode_line,
    line_id,
)
from configbuild.model import BuildId, BuildStatus, Step, StepStatus, Stream, Trigger

BUILD = BuildId("build_01JB2Z5V7T3QK8M4N6P9R0S1XA")
TIME = datetime(2024, 10, 27, 9, 30, 15, 1203, tzinfo=UTC)
HEAD = (
    b'{"object":"ade.build.event","id":7,"build_id":"build_01JB2Z5V7T3QK8M4N6P9R0S1XA",'
    b'"created":1730021415,"time":"2024-10-27T09:30:15.001203Z",'
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
IDS = st.integers(min_value=1, max_value=2**53)
COUNTS = st.none() | st.integers(min_value=0, max_value=2**53)
MAYBE = st.none() | TEXTS
BODY_STRATEGIES: dict[type[Body], st.SearchStrategy[Body]] = {
    BuildCreated: st.builds(
        BuildCreated,
        status=st.sampled_from(BuildStatus),
        config_id=TEXTS,
        workspace_id=TEXTS,
        trigger=st.sampled_from(Trigger),
    ),
    BuildStep: st.builds(
        BuildStep,
        step=st.sampled_from(Step),
        status=st.sampled_from(StepStatus),
        message=TEXTS,
        duration_ms=COUNTS,
        exit_code=COUNTS,
    ),
    BuildLog: st.builds(
        BuildLog,
        step=st.sampled_from(Step),
        stream=st.sampled_from(Stream),
        message=TEXTS,
        continued=st.booleans(),
    ),
    BuildGap: st.builds(BuildGap, first_id=IDS, lines=IDS),
    BuildCompleted: st.builds(
        BuildCompleted,
        status=st.sampled_from(BuildStatus),
        exit_code=COUNTS,
        summary=MAYBE,
        error_message=MAYBE,
        reason=MAYBE,
        hint=MAYBE,
    ),
}
TIMES = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - the strategy adds the time zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)


def event(body: Body) -> Event:
    return Event(id=7, build_id=BUILD, time=TIME, body=body)


@pytest.mark.parametrize(
    ("body", "tail"),
    [
        (
            BuildCreated(
                status=BuildStatus.QUEUED,
                config_id="invoices",
                workspace_id="finance",
                trigger=Trigger.SPEC_CHANGED,
                config_uid="5f0c",
            ),
            (
                b'"type":"build.created","status":"queued","config_id":"invoices",'
                b'"workspace_id":"finance","trigger":"SpecChanged","config_uid":"5f0c"}\n'
            ),
        ),
        (
            BuildStep(step=Step.CREATE_VENV, status=StepStatus.RUNNING, message="Creating"),
            (
                b'"type":"build.step","step":"create_venv","status":"running","message":"Creating",'
                b'"duration_ms":null,"exit_code":null}\n'
            ),
        ),
        (
            BuildStep(
                step=Step.INSTALL_ENGINE,
                status=StepStatus.FAILED,
                message="Installing",
                duration_ms=1234,
                exit_code=1,
            ),
            (
                b'"type":"build.step","step":"install_engine","status":"failed",'
                b'"message":"Installing","duration_ms":1234,"exit_code":1}\n'
            ),
        ),
        (
            BuildLog(step=Step.VERIFY_IMPORTS, stream=Stream.STDERR, message='é "\\\t\x00'),
            (
                b'"type":"build.log","step":"verify_imports","stream":"stderr",'
                b'"message":"\xc3\xa9 \\"\\\\\\t\\u0000"}\n'
            ),
        ),
        (
            BuildLog(
                step=Step.UPGRADE_PIP, stream=Stream.STDOUT, message="half a l", continued=True
            ),
            (
                b'"type":"build.log","step":"upgrade_pip","stream":"stdout","message":"half a l",'
                b'"continued":true}\n'
            ),
        ),
        (
            BuildCompleted(
                status=BuildStatus.FAILED,
                exit_code=1,
                summary=None,
                error_message="pip exited with 1",
                reason="InstallEngineFailed",
                hint="look at the log",
            ),
            (
                b'"type":"build.completed","status":"failed","exit_code":1,"summary":null,'
                b'"error_message":"pip exited with 1","reason":"InstallEngineFailed",'
                b'"hint":"look at the log"}\n'
            ),
        ),
    ],
)
def test_the_line_of(body: Body, tail: bytes) -> None:
    assert encode_line(event(body)) == HEAD + tail


@pytest.mark.parametrize("body_type", BODIES)
@settings(deadline=None)  # machines may be busy
@given(data=st.data(), time=TIMES, event_id=IDS)
def test_what_is_encoded_decodes_to_the_same(
    body_type: type[Body], data: st.DataObject, time: datetime, event_id: int
) -> None:
    sent = Event(id=event_id, build_id=BUILD, time=time, body=data.draw(BODY_STRATEGIES[body_type]))

    line = encode_line(sent)

    assert decode_line(line) == sent
    assert line_id(line) == line_id(line[:64]) == event_id
    assert json.loads(line)["created"] == int(time.timestamp())


@settings(deadline=None)  # machines may be busy
@given(messages=st.lists(TEXTS, max_size=8), first_id=IDS, time=TIMES, continued=st.booleans())
def test_log_lines_are_encoded_as_any_event(
    messages: list[str], first_id: int, time: datetime, continued: bool
) -> None:
    encoder = LogLineEncoder(build_id=BUILD, step=Step.INSTALL_CONFIG, stream=Stream.STDERR)

    encoded = encoder.encode(messages, first_id=first_id, time=time, continued=continued)

    assert encoded == b"".join(
        encode_line(
            Event(
                id=number,
                build_id=BUILD,
                time=time,
                body=BuildLog(
                    step=Step.INSTALL_CONFIG,
                    stream=Stream.STDERR,
                    message=message,
                    continued=continued,
                ),
            )
        )
        for number, message in enumerate(messages, first_id)
    )


@settings(deadline=None)  # machines may be busy
@given(st.text(st.sampled_from('\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029",[]\\ é'), max_size=20))
def test_a_line_is_one_line_for_every_reader(message: str) -> None:
    body = BuildLog(step=Step.UPGRADE_PIP, stream=Stream.STDOUT, message=message)
    encoder = LogLineEncoder(build_id=BUILD, step=body.step, stream=body.stream)

    for line in (encode_line(event(body)), encoder.encode([message], first_id=7, time=TIME)):
        assert len(line.decode().splitlines()) == 1
        assert json.loads(line)["message"] == message


def test_separators_of_unicode_are_escaped() -> None:
    body = BuildLog(step=Step.UPGRADE_PIP, stream=Stream.STDOUT, message="a\u2028b\u2029c\x85d")

    assert rb'"message":"a\u2028b\u2029c\u0085d"' in encode_line(event(body))


def test_a_message_that_is_no_valid_text_is_escaped() -> None:
    body = BuildStep(step=Step.UPGRADE_PIP, status=StepStatus.FAILED, message="no \udce9 \ud800 é")

    decoded = decode_line(encode_line(event(body))).body

    assert isinstance(decoded, BuildStep)
    assert decoded.message == r"no \udce9 \ud800 é"


def test_fields_of_a_later_version_are_ignored() -> None:
    body = BuildLog(step=Step.UPGRADE_PIP, stream=Stream.STDOUT, message="text")
    line = encode_line(event(body)).replace(b',"type":', b',"new":[1],"type":')

    assert decode_line(line) == event(body)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b'{"object":"ade.build.event","id":',
        b'{"object":"ade.build.event","id":7,"build_id":"build_x"}\n',
        HEAD + b'"type":"build.unheard"}\n',
        HEAD + b'"type":"build.log","stream":"stdout","message":"no step"}\n',
        HEAD + b'"type":"build.log","step":"dance","stream":"stdout","message":""}\n',
        HEAD.replace(b"build_01", b"build_zz") + b'"type":"build.log"}\n',
    ],
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_line(line)


@pytest.mark.parametrize("line", [b"", b"\x00" * 64, b'{"id":7,', HEAD[:34], HEAD[:33] + b"x,"])
def test_what_has_no_id_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        line_id(line)
