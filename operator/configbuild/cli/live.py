"""Shows a build on a terminal: a row for each step, and below the one that runs its last lines."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from configbuild.builds.records import BuildRecord, StepProgress, record_of
from configbuild.cli.progress import BuiltFacts
from configbuild.cli.text import failure, printable
from configbuild.durations import format_duration
from configbuild.events import BuildCompleted, BuildLog, BuildStep, Event, decode_line
from configbuild.model import BuildId, Step, StepStatus
from configbuild.outcome import REUSED

# Enough to see what is going on, few enough that the six steps stay in view on 24 lines.
TAIL_LINES = 4

# Faster than an eye can follow; a flood of output costs a bounded part of a core.
_FRAME_S = 0.08

# Within a string its quotes would be escaped, so this is the type of an event and nothing else.
_LOG = f'"type":"{BuildLog.TYPE}"'.encode()
_LINE_HEAD_BYTES = 300

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS = {
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
}
_ASCII = str.maketrans({"✓": "+", "✗": "x", "·": ".", **dict.fromkeys(_SPINNER, "*")})


class LiveDisplay:
    """A :class:`~configbuild.cli.progress.Display` for a terminal that can move its cursor.

    Texts are never read as markup: what builds write is shown as it is.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(markup=False, highlight=False, emoji=False)
        self._ascii = self._console.options.ascii_only
        self._record: BuildRecord | None = None
        self._end: Event | None = None
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._note = ""
        self._last_frame = 0.0
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._render)

    def reused(self, build_id: BuildId, built: BuiltFacts) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._print_built(built, f"{REUSED} {build_id}")

    def begin(self, title: str, note: str) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._console.print(Text(f"Building {title}", "bold"))
        self._console.print(Text(f"  {printable(note)}", "dim"))
        self._console.print()
        self._live.start()

    def feed(self, block: bytes) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        urgent = False
        for line in filter(None, block.split(b"\n")):
            if _LOG in line[:_LINE_HEAD_BYTES]:
                self._tail.append(line)
            else:
                self._take(decode_line(line))
                urgent = True
        if urgent or time.monotonic() - self._last_frame >= _FRAME_S:
            self._live.refresh()
            self._last_frame = time.monotonic()

    def stopping(self, note: str) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._note = note
        # Should the next Ctrl-C end this process where it stands, the terminal is in order.
        self._console.show_cursor(True)

    def end(self, journal: Path, built: BuiltFacts | None) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._note = ""
        self._live.stop()
        if self._end is None or self._record is None:
            return
        self._console.print()
        took = format_duration((self._end.time - self._record.queued_at).total_seconds())
        assert isinstance(self._end.body, BuildCompleted)
        if built is not None:
            self._print_built(built, f"Built {self._record.key} in {took}")
        else:
            self._print_failure(self._end.body, took, journal)

    def _take(self, event: Event) -> None:
        if self._record is None:
            self._record = record_of(event)
        else:
            self._record = self._record.after(event)
        match event.body:
            case BuildStep(status=StepStatus.RUNNING):
                self._tail.clear()
            case BuildCompleted():
                self._end = event

    def _render(self) -> Group:
        record = self._record
        steps = {step.name: step for step in record.steps} if record is not None else {}
        rows: list[Text] = []
        for name in Step:
            rows.append(self._row(name, steps.get(name)))
            if (found := steps.get(name)) and found.status is StepStatus.RUNNING:
                rows.extend(self._tail_rows())
        if self._note:
            rows.append(_line(Text(self._note, "yellow")))
        return Group(*rows)

    def _row(self, name: Step, step: StepProgress | None) -> Text:
        if step is None:
            return _line(Text(self._drawn(f"· {name}"), "dim"))
        if step.status is StepStatus.RUNNING:
            mark, style = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)], "cyan"
        else:
            mark, style = _MARKS[step.status]
        took = (step.finished_at or datetime.now(UTC)) - step.started_at
        skipped = step.status is StepStatus.SKIPPED
        time_s = "skipped" if skipped else format_duration(took.total_seconds())
        return _line(
            Text.assemble(
                (self._drawn(mark), style),
                (f" {name:<16} ", "dim" if skipped else ""),
                (f"{time_s:>7}  ", "dim"),
                (printable(step.message), "dim" if step.finished_at else ""),
            )
        )

    def _tail_rows(self) -> list[Text]:
        rows = []
        for line in self._tail:
            body = decode_line(line).body
            assert isinstance(body, BuildLog)
            text = printable(body.message[: self._console.width]).expandtabs(4)
            rows.append(_line(Text(f"    {text}", "dim")))
        return rows

    def _print_built(self, built: BuiltFacts, title: str) -> None:
        print_ = self._console.print
        print_(Text(self._drawn(f"✓ {title}"), "bold green"))
        print_()
        self._print_rows(built.rows())
        print_()
        print_(Text(_command(built.command, self._console.width), ""), soft_wrap=True)

    def _print_failure(self, body: BuildCompleted, took: str, journal: Path) -> None:
        print_ = self._console.print
        print_(Text(self._drawn(f"✗ {body.summary or body.status} after {took}"), "bold red"))
        print_()
        for number, line in enumerate(failure(body)):
            self._print_wrapped(line, style="dim" if number else "")
        if body.hint:
            self._print_wrapped(printable(body.hint))
        print_()
        rows = [("reason", body.reason), ("exit code", body.exit_code), ("journal", journal)]
        self._print_rows([(name, str(value)) for name, value in rows if value is not None])

    def _print_wrapped(self, line: str, *, style: str = "") -> None:
        """Print a line of text, indented; what has to go on further lines is indented as it is."""
        text = line.expandtabs(4)
        indent = 2 + len(text) - len(text.lstrip())
        width = max(20, self._console.width - indent)
        for part in Text(text.strip()).wrap(self._console, width):
            self._console.print(Text(" " * indent + part.plain.rstrip(), style))

    def _print_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        for name, value in rows:
            # A path is never broken in two, so that it can be copied.
            text = Text.assemble((f"  {name:<10} ", "dim"), printable(value))
            self._console.print(text, soft_wrap=True)

    def _drawn(self, text: str) -> str:
        return text.translate(_ASCII) if self._ascii else text


def _line(text: Text) -> Text:
    """Keep a text on one line, cut at the terminal's edge."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _command(argv: tuple[str, ...], width: int) -> str:
    """Write a command so that it can be pasted into a shell, in two lines if it is too long."""
    program, *arguments = map(shlex.quote, argv)
    line = " ".join(["  " + program, *arguments])
    return line if len(line) <= width else f"  {program} \\\n    {' '.join(arguments)}"
