"""How a build reads as lines of text. Pure.

::

    install_engine: Install engine from source tree engine
    install_engine | what its commands write to standard output
    install_engine ! what they write to standard error
    install_engine: succeeded in 1.2s
"""

from __future__ import annotations

from collections.abc import Iterator

from configbuild.durations import format_duration
from configbuild.events import BuildCompleted, BuildCreated, BuildGap, BuildLog, BuildStep, Event
from configbuild.model import BuildStatus, StepStatus, Stream

_MARKS = {Stream.STDOUT: "|", Stream.STDERR: "!"}

# All that moves a terminal's cursor, rings its bell or turns the direction of its text around: the
# control characters (C0, DEL, C1) and the bidirectional ones.
_CONTROLS = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\t"), ord("\n")}
_BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_UNPRINTABLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | {
    code: f"\\u{code:04x}" for code in _BIDI
}


def printable(text: str) -> str:
    """Write out what a terminal would obey rather than show; line ends and tabs stay."""
    return text if text.isprintable() else text.translate(_UNPRINTABLE)


def lines_of(event: Event) -> Iterator[str]:
    """Tell an event, in one line or in a few."""
    body = event.body
    match body:
        case BuildCreated():
            yield f"{event.build_id} of {body.workspace_id}/{body.config_id}: {body.trigger}"
        case BuildLog():
            yield printable(f"{body.step} {_MARKS[body.stream]} {body.message}")
        case BuildStep():
            yield printable(f"{body.step}: {_of_step(body)}")
        case BuildGap():
            yield f"[{body.lines} lines were left out here: the log outgrew its limit]"
        case BuildCompleted():
            yield from _end(body)


def _of_step(body: BuildStep) -> str:
    took = format_duration((body.duration_ms or 0) / 1000)
    match body.status:
        case StepStatus.RUNNING:
            return body.message
        case StepStatus.SKIPPED:
            return f"skipped ({body.message})"
        case StepStatus.SUCCEEDED:
            return f"succeeded in {took}"
        case StepStatus.FAILED:
            code = f" with exit code {body.exit_code}" if body.exit_code is not None else ""
            return f"failed after {took}{code}"


def _end(body: BuildCompleted) -> Iterator[str]:
    reason = f" ({body.reason})" if body.reason else ""
    code = f", exit code {body.exit_code}" if body.exit_code else ""
    yield f"{body.summary or body.status}{reason}{code}"
    yield from failure(body)
    if body.hint:
        yield printable(f"hint: {body.hint}")


def failure(body: BuildCompleted) -> list[str]:
    """Say what went wrong: a line that says what, then the output that says why."""
    if body.status is BuildStatus.ACTIVE or not body.error_message:
        return []
    first, *rest = printable(body.error_message).split("\n")
    if rest and first.endswith(rest[-1].strip()):
        # Where a table has one line only it holds the last of the others, which all follow here.
        first = first.removesuffix(rest[-1].strip()).rstrip()
    return [first, *(f"  {line}" for line in rest)]
