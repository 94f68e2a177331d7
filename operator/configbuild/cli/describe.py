"""``kubectl configbuild describe``: a page on one ConfigBuild that a person wants to read. Pure.

What ``explain`` says of causes stands here in short; in its place come the steps, with bars that
show when each ran, the last lines of the log, and the builds before. No line has more than 80
columns, so that it reads the same in a terminal, a ticket and a chat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from configbuild.cli.explain import (
    WIDTH,
    active_parts,
    changes_of,
    packed,
    refused,
    row,
    standing,
    token_words,
    why,
    wrapped,
)
from configbuild.cli.outlook import outlook
from configbuild.cli.steps import steps_to_come
from configbuild.cli.tables import format_age, table
from configbuild.cli.text import printable
from configbuild.cli.told import Told, time_of
from configbuild.durations import format_duration
from configbuild.model import Step

_INDENT = " " * 9

# Room for the longest step, its time and an exit code beside it, on 80 columns.
_BAR = 24

# Enough for the last words of pip and uv; the log has the rest.
_MESSAGE_LINES = 12
_HISTORY = 5

_MARKS = {"succeeded": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "dim")}
_RUNNING = ("▶", "cyan")
_TO_COME = ("·", "dim")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLines:
    """The end of the newest build's log, or why it cannot be shown; both empty: nobody asked."""

    lines: Sequence[str] = ()
    trouble: str = ""


def describe(body: Mapping[str, Any], last: LastLines, *, now: datetime) -> list[Text]:
    """Write the page, line by line."""
    told = Told(body)
    style = "bold green" if told.holds("Ready") and not told.stale else "bold yellow"
    if told.holds("Stalled") and not told.stale:
        style = "bold red"
    return [
        *(Text(line, style) for line in wrapped(f"{told.title}: {standing(told)}", indent=0)),
        *_rows("active", *_active(told, now)),
        *_rows("newest", *_newest(told, now)),
        *_rows("why", *([why(told.build.get("trigger"))] if told.build else [])),
        *_rows("", *packed(map(str, changes_of(told)))),
        *_message(told),
        *_rows("hint", *filter(None, [(told.build.get("failure") or {}).get("hint")])),
        *_labelled("steps", _steps(told, now)),
        *_labelled("log", _log(told, last)),
        *_rows("next", *outlook(told, now)),
        *_rows("tokens", *packed(map(token_words, told.tokens()))),
        *_rows("refused", *refused(told)),
        *_labelled("before", _before(told, now)),
    ]


def _rows(label: str, *parts: str) -> list[Text]:
    return _labelled(label, (Text(line[len(_INDENT) :]) for line in row("", *parts)))


def _labelled(label: str, lines: Iterator[Text]) -> list[Text]:
    """Put a label before the first of some lines, and room before the others."""
    found = []
    for number, line in enumerate(lines):
        margin = f"{label}:".ljust(len(_INDENT)) if label and not number else _INDENT
        found.append(Text.assemble((margin, "dim"), line))
    return found


def _active(told: Told, now: datetime) -> list[str]:
    path = told.active.get("venvPath")
    return [*active_parts(told, now), *([str(path)] if path else [])]


def _newest(told: Told, now: datetime) -> list[str]:
    build = told.build
    if not build:
        return ["none yet"]
    attempt = f", try {build['attempt']}" if build.get("attempt") else ""
    return [f"{build.get('id')} {_build_words(build, now)}{attempt}"]


def _build_words(build: Mapping[str, Any], now: datetime) -> str:
    status = str(build.get("status"))
    started, finished = time_of(build.get("startedAt")), time_of(build.get("finishedAt"))
    if status == "queued":
        position = build.get("queuePosition")
        return "waits" + (f", number {position} in the queue" if position else "")
    words = "succeeded" if status == "active" else "runs" if status == "building" else status
    if started and finished:
        return f"{words} after {format_duration((finished - started).total_seconds())}"
    return f"{words} for {_since(started, now)}" if started and status == "building" else words


def _message(told: Told) -> list[Text]:
    """Say what went wrong, unless that stands in the first line already or is of another spec."""
    failure = told.build.get("failure") or {}
    ready = told.condition("Ready")
    fine = told.holds("Ready") or told.running or told.stale
    message = str(failure.get("message") or "")
    if ready.get("reason") != failure.get("reason"):
        message = "" if fine else str(ready.get("message") or "")
    lines = wrapped(message)
    if len(lines) > _MESSAGE_LINES:
        lines = [*lines[: _MESSAGE_LINES - 1], f"{_INDENT}…"]
    return _labelled("message", (Text(line[len(_INDENT) :]) for line in lines))


def _steps(told: Told, now: datetime) -> Iterator[Text]:
    rows: list[Mapping[str, Any]] = list(told.status.get("steps") or ())
    if not rows:
        return
    begin = min((time for step in rows if (time := time_of(step.get("startedAt")))), default=now)
    end = max([begin, *(time_of(step.get("finishedAt")) or now for step in rows)])
    for step in rows:
        yield _step(step, begin, end, now)
    known = {Step(name) for step in rows if (name := step.get("name")) in list(Step)}
    for name in steps_to_come(known):
        yield Text.assemble(_TO_COME, (f" {name}", "dim"))


def _step(step: Mapping[str, Any], begin: datetime, end: datetime, now: datetime) -> Text:
    status = str(step.get("status"))
    mark = _MARKS.get(status, _RUNNING)
    line = Text.assemble(mark, f" {printable(str(step.get('name'))):<16} ")
    if status == "skipped":
        line.append(f"skipped  {printable(str(step.get('message', '')))}", "dim")
    else:
        started = time_of(step.get("startedAt")) or begin
        finished = time_of(step.get("finishedAt")) or now
        line.append(f"{format_duration(max(0.0, (finished - started).total_seconds())):>7}  ")
        line.append(_bar(started, finished, begin, end), mark[1])
        if step.get("exitCode"):
            line.append(f"  exit {step['exitCode']}", "red")
    line.rstrip()
    line.truncate(WIDTH - len(_INDENT), overflow="ellipsis")
    return line


def _bar(started: datetime, finished: datetime, begin: datetime, end: datetime) -> str:
    """Draw when a step ran within its build: at its place, and at least one column wide."""
    whole_s = max((end - begin).total_seconds(), 1e-6)
    left = min(int((started - begin).total_seconds() / whole_s * _BAR), _BAR - 1)
    right = max(round((finished - begin).total_seconds() / whole_s * _BAR), left + 1)
    return (" " * left + "━" * (right - left)).ljust(_BAR)


def _log(told: Told, last: LastLines) -> Iterator[Text]:
    log = told.status.get("log") or {}
    if not log:
        return
    cut = ", shortened in its middle" if log.get("truncated") else ""
    yield Text(f"{log.get('lines', 0)} events, {_size(int(log.get('bytes', 0)))}{cut}")
    for line in last.lines:
        text = Text(printable(line).expandtabs(4), "dim")
        text.truncate(WIDTH - len(_INDENT), overflow="ellipsis")
        yield text
    if last.trouble:
        for part in wrapped(f"no lines: {last.trouble}"):
            yield Text(part[len(_INDENT) :], "dim")


def _before(told: Told, now: datetime) -> Iterator[Text]:
    rows = [_record(build, now) for build in (told.status.get("history") or ())[:_HISTORY]]
    if rows:
        room = WIDTH - len(_INDENT)
        yield from map(Text, table(rows, flexible=(1,), width=room))


def _record(build: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    status = "succeeded" if build.get("status") == "active" else str(build.get("status"))
    queued = time_of(build.get("queuedAt"))
    return str(build.get("id")), str(build.get("reason") or status), _since(queued, now)


def _since(time: datetime | None, now: datetime) -> str:
    return format_age((now - time).total_seconds()) if time else ""


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
