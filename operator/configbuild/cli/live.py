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
from configbuild.cli.steps import steps_to_come
from configbuild.cli.text import failure, printable
from configbuild.durations import format_duration
from configbuild.events import BuildCompleted, BuildLog, BuildStep, Event, decode_line
from configbuild.model import BuildId, Step, StepStatus
from configbuild.outcome import REUSED

# Enough to see what is going on, few enough that the six steps stay in view on 24 lines.
TAIL_LINES = 4

# Faster than an eye can follow; a flood of output costs a bounded part of a core.
_FRAME_S = 0.08

# Where nothing new comes, only a clock and a wheel are to go on.
_FRAMES_PER_S = 8

# Within a string its quotes would be escaped, so this is the type of an event and nothing else.
_LOG = f'"type":"{BuildLog.TYPE}"'.encode()
_LINE_HEAD_BYTES = 300

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS = {
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
}
_ASCII = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "·": ".",
        "━": "=",
        "▶": ">",
        "→": ">",
        "…": "~",
        **dict.fromkeys(_SPINNER, "*"),
    }
)


class LiveSteps:
    """The steps of a build as they go: a row for each, drawn anew in place.

    ``alive``: draws by itself, so that times go on where no block comes. Texts are never read as
    markup: what builds write is shown as it is.
    """

    def __init__(self, console: Console, *, alive: bool = False) -> None:
        self.record: BuildRecord | None = None
        self.end: Event | None = None
        self._console = console
        self._ascii = console.options.ascii_only
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._note = ""
        self._last_frame = 0.0
        self._live = Live(
            console=console,
            auto_refresh=alive,
            refresh_per_second=_FRAMES_PER_S,
            get_renderable=self._render,
        )

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Draw a last time, and leave it there."""
        self._note = ""
        self._live.stop()

    def feed(self, block: bytes) -> None:
        """Take the next whole lines of the journal; none where nothing new came."""
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

    def note(self, text: str) -> None:
        """Say something below the steps, until the end."""
        self._note = text

    @property
    def took(self) -> str:
        """How long the build took, from the queue to its end; once it has ended."""
        assert self.record is not None
        assert self.end is not None
        return format_duration((self.end.time - self.record.queued_at).total_seconds())

    def _take(self, event: Event) -> None:
        if self.record is None:
            self.record = record_of(event)
        else:
            self.record = self.record.after(event)
        match event.body:
            case BuildStep(status=StepStatus.RUNNING):
                self._tail.clear()
            case BuildCompleted():
                self.end = event

    def _render(self) -> Group:
        record = self.record
        steps = {step.name: step for step in record.steps} if record is not None else {}
        rows: list[Text] = []
        for name, step in steps.items():
            rows.append(self._row(name, step))
            if step.status is StepStatus.RUNNING:
                rows.extend(self._tail_rows())
        rows.extend(self._row(name, None) for name in steps_to_come(steps))
        if self._note:
            rows.append(_line(Text(self._note, "yellow")))
        return Group(*rows)

    def _row(self, name: Step, step: StepProgress | None) -> Text:
        if step is None:
            return _line(Text(drawn(self._console, f"· {name}"), "dim"))
        if step.status is StepStatus.RUNNING:
            mark, style = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)], "cyan"
        else:
            mark, style = _MARKS[step.status]
        took = (step.finished_at or datetime.now(UTC)) - step.started_at
        skipped = step.status is StepStatus.SKIPPED
        time_s = "skipped" if skipped else format_duration(took.total_seconds())
        return _line(
            Text.assemble(
                (drawn(self._console, mark), style),
                (f" {name:<16} ", "dim" if skipped else ""),
                (f"{time_s:>7}  ", "dim"),
                (printable(step.message), "dim" if step.finished_at else ""),
            )
        )

    def _tail_rows(self) -> list[Text]:
        rows = []
        for line in tuple(self._tail):  # another thread may add to it
            body = decode_line(line).body
            assert isinstance(body, BuildLog)
            text = printable(body.message[: self._console.width]).expandtabs(4)
            rows.append(_line(Text(f"    {text}", "dim")))
        return rows


class LiveDisplay:
    """A :class:`~configbuild.cli.progress.Display` for a terminal that can move its cursor."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or terminal_console()
        self._steps = LiveSteps(self._console)

    def reused(self, build_id: BuildId, built: BuiltFacts) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._print_built(built, f"{REUSED} {build_id}")

    def begin(self, title: str, note: str) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._console.print(Text(f"Building {title}", "bold"))
        self._console.print(Text(f"  {printable(note)}", "dim"))
        self._console.print()
        self._steps.start()

    def feed(self, block: bytes) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._steps.feed(block)

    def stopping(self, note: str) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        self._steps.note(note)
        # Should the next Ctrl-C end this process where it stands, the terminal is in order.
        self._console.show_cursor(True)

    def end(self, journal: Path, built: BuiltFacts | None) -> None:
        """See :class:`~configbuild.cli.progress.Display`."""
        steps = self._steps
        steps.stop()
        if steps.end is None or steps.record is None:
            return
        self._console.print()
        if built is not None:
            self._print_built(built, f"Built {steps.record.key} in {steps.took}")
        else:
            print_failure(self._console, steps, ("journal", journal))

    def _print_built(self, built: BuiltFacts, title: str) -> None:
        print_ = self._console.print
        print_(Text(drawn(self._console, f"✓ {title}"), "bold green"))
        print_()
        _print_rows(self._console, built.rows())
        print_()
        print_(Text(_command(built.command, self._console.width), ""), soft_wrap=True)


def terminal_console() -> Console:
    """Make a console that shows texts as they are."""
    return Console(markup=False, highlight=False, emoji=False)


def print_failure(console: Console, steps: LiveSteps, *more: tuple[str, object]) -> None:
    """Say how a build ended that did not end well; ``more`` is what else there is to know."""
    assert steps.end is not None
    body = steps.end.body
    assert isinstance(body, BuildCompleted)
    title = f"✗ {body.summary or body.status} after {steps.took}"
    console.print(Text(drawn(console, title), "bold red"))
    console.print()
    for number, line in enumerate(failure(body)):
        _print_wrapped(console, line, style="dim" if number else "")
    if body.hint:
        _print_wrapped(console, printable(body.hint))
    console.print()
    rows = [("reason", body.reason), ("exit code", body.exit_code), *more]
    _print_rows(console, [(name, str(value)) for name, value in rows if value is not None])


def _print_wrapped(console: Console, line: str, *, style: str = "") -> None:
    """Print a line of text, indented; what has to go on further lines is indented as it is."""
    text = line.expandtabs(4)
    indent = 2 + len(text) - len(text.lstrip())
    width = max(20, console.width - indent)
    for part in Text(text.strip()).wrap(console, width):
        console.print(Text(" " * indent + part.plain.rstrip(), style))


def _print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    for name, value in rows:
        # A path is never broken in two, so that it can be copied.
        text = Text.assemble((f"  {name:<10} ", "dim"), printable(value))
        console.print(text, soft_wrap=True)


def drawn(console: Console, text: str) -> str:
    """Write signs that the terminal's encoding has not as ones that every encoding has."""
    return text.translate(_ASCII) if console.options.ascii_only else text


def _line(text: Text) -> Text:
    """Keep a text on one line, cut at the terminal's edge."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _command(argv: tuple[str, ...], width: int) -> str:
    """Write a command so that it can be pasted into a shell, in two lines if it is too long."""
    program, *arguments = map(shlex.quote, argv)
    line = " ".join(["  " + program, *arguments])
    return line if len(line) <= width else f"  {program} \\\n    {' '.join(arguments)}"
