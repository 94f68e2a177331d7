"""A build as people and programs see it, and as they end it: terminal, lines, pipes, Ctrl-C.

uv has a stand-in, which stops in ``install_config`` at a gate.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import (
    PATIENCE_S,
    STEPS,
    Bench,
    Terminal,
    environment,
    events,
    gate,
    quick_bench,
)
from tests.cluster.controlplane import wait_until
from tests.process.support import has_ended, processes_with, watching

# Goes before the stand-in of the web tests. Before the config is installed it writes what a
# terminal or rich would make something of, and leaves a process that nobody waits for in a session
# of its own. When the check of the venv has come it says so at a FIFO, if there is one.
CHATTY = """\
#!/bin/sh
here=$(dirname "$0")
case "$*" in
    *"-- ade-config=="*)
        setsid sh -c 'read -r _ < "$0"' "$here/for-ever" > /dev/null 2>&1 &
        if [ -e "$here/flood" ]; then seq 100000 200000; fi
        printf '[bold]no markup[/bold] \\033[31mred\\033[0m\\n'
        printf 'a bell \\007 and a long line: %0100d\\n' 1
        echo 'the last but one'
        ;;
    "pip check"*) if [ -p "$here/checked" ]; then echo checked > "$here/checked"; fi ;;
esac
exec "$here/stand-in" "$@"
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = quick_bench(tmp_path)
    os.mkfifo(tmp_path / "for-ever")
    (tmp_path / "uv").rename(tmp_path / "stand-in")
    (tmp_path / "uv").write_text(CHATTY)
    (tmp_path / "uv").chmod(0o755)
    yield bench
    assert not processes_of(bench)


@pytest.fixture(autouse=True)
def signals_are_not_ignored() -> Iterator[None]:
    """Have what is started here obey signals, also if we ourselves run in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def processes_of(bench: Bench) -> set[int]:
    """Everything that a build runs has this in its environment."""
    return processes_with(f"UV_CACHE_DIR={bench.workdir}/cache/default/uv")


def both_processes_of(bench: Bench) -> set[int]:
    def both() -> set[int] | None:
        found = processes_of(bench)
        return found if len(found) >= 2 else None

    return wait_until(both, what="a command and its daemon run", timeout_s=PATIENCE_S)


@contextlib.contextmanager
def held(bench: Bench, *arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A build that waits at the gate, after its output up to there came through."""
    pipe = subprocess.PIPE
    with gate(bench) as opened, bench.start(*arguments, stdout=pipe, stderr=pipe) as process:
        try:
            read_until(process, "résolving ade-config")
            yield process, opened
        finally:
            process.kill()


def read_until(process: subprocess.Popen[bytes], text: str) -> bytes:
    assert process.stdout is not None
    read = b""
    for line in process.stdout:
        read += line
        if text.encode() in line:
            return read
    raise AssertionError(f"{text!r} never came: {read!r}")


def test_terminal_shows_steps_and_the_tail_of_the_one_that_runs(bench: Bench) -> None:
    with gate(bench) as opened:
        terminal = Terminal(bench.argv(), environment(bench.settings))
        screen = terminal.until("résolving")
        assert screen.lines[:3] == ["Building default/invoices", "  no verified build yet", ""]
        rows = [line for line in screen.lines[3:] if line]
        assert [row.split()[1] for row in rows if row[0] != " "] == list(STEPS)
        assert [row[0] for row in rows if row[0] in "✓-·"] == ["✓", "-", "✓", "·", "·"]
        first, second, *others = [row.strip() for row in rows if row[0] == " "]
        assert first == "[bold]no markup[/bold] red"
        assert second.startswith(r"a bell \x07 and a long line: 000")
        assert second.endswith("0…")
        assert others == ["the last but one", "résolving ade-config==2.1"]
        assert screen.widest <= 80
        os.write(opened, b"open\n")
        code, screen = terminal.end()
    assert code == 0
    marks = {line.split()[1]: line[0] for line in screen.lines if line[:1] in {"✓", "-"}}
    assert marks == dict.fromkeys([*STEPS, "Built"], "✓") | {"upgrade_pip": "-"}
    assert "résolving" not in str(screen)
    assert "  engine     ade-engine 1.4.0" in screen.lines
    assert "  packages   2" in screen.lines
    assert f"  venv       {bench.venvs[0]}" in screen.lines
    # A path is never broken in two; all else keeps within the terminal.
    assert all(len(line) <= 80 or str(bench.directory) in line for line in screen.lines)
    assert_cursor_is_shown(terminal)
    reused = Terminal(bench.argv(), environment(bench.settings))
    code, screen = reused.end()
    assert code == 0
    assert screen.lines[0].startswith("✓ Reused existing build build_")
    assert f"  venv       {bench.venvs[0]}" in screen.lines


def test_terminal_shows_why_a_build_failed(bench: Bench) -> None:
    bench.file.write_text(bench.file.read_text().replace("ade-config==2.1", "broken==1"))
    terminal = Terminal(bench.argv(), environment(bench.settings))
    code, screen = terminal.end()
    assert code == 1
    at = screen.lines.index("")
    assert [row[0] for row in screen.lines[at + 1 :][:6]] == ["✓", "-", "✓", "✗", "·", "·"]
    shown = str(screen)
    assert "✗ Build failed in step install_config after " in shown
    assert "\n  uv pip install exited with 3:\n    no package broken\n" in shown
    assert "\n  reason     InstallConfigFailed\n  exit code  3\n  journal    " in shown
    assert all(len(line) <= 80 or str(bench.directory) in line for line in screen.lines)


def test_ctrl_c_on_a_terminal_ends_the_build_and_leaves_the_terminal_in_order(bench: Bench) -> None:
    with gate(bench):
        terminal = Terminal(bench.argv(), environment(bench.settings))
        terminal.until("résolving")
        terminal.press(b"\x03")
        code, screen = terminal.end()
    assert code == 130
    assert "✗ Build canceled after " in str(screen)
    assert "\n  interrupted (Ctrl-C)\n" in str(screen)
    assert_cursor_is_shown(terminal)


def assert_cursor_is_shown(terminal: Terminal) -> None:
    assert terminal.raw.rindex(b"\x1b[?25h") > terminal.raw.rindex(b"\x1b[?25l")


def test_lines_for_pipes_files_and_dumb_terminals(bench: Bench) -> None:
    done = bench.run()
    assert done.code == 0
    assert done.lines[0] == "Building default/invoices: no verified build yet"
    assert [line.split(":")[0] for line in done.lines if ": succeeded in " in line] == [
        step for step in STEPS if step != "upgrade_pip"
    ]
    assert "upgrade_pip: skipped (uv installs without pip in the environment)" in done.lines
    assert "install_config | [bold]no markup[/bold] red" in done.lines
    assert r"install_config | a bell \x07 and a long line: " + "1".zfill(100) in done.lines
    assert "verify_imports ! all is compatible" in done.lines
    assert not any(byte < 32 for byte in done.stdout if byte != 10)
    dumb = Terminal(bench.argv("--force"), environment({**bench.settings, "TERM": "dumb"}))
    code, screen = dumb.end()
    assert code == 0
    assert b"\x1b" not in dumb.raw
    assert "install_config | [bold]no markup[/bold] red" in screen.lines


@pytest.mark.parametrize("arguments", [(), ("-o", "ndjson")], ids=["text", "ndjson"])
def test_output_comes_while_the_step_runs(bench: Bench, arguments: tuple[str, ...]) -> None:
    with held(bench, *arguments) as (process, opened):
        os.write(opened, b"open\n")
        rest, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert b"collect_metadata" in rest


def test_build_does_not_wait_for_a_reader_that_takes_nothing(bench: Bench) -> None:
    (bench.directory / "flood").touch()  # ten times what a pipe holds
    checked = bench.directory / "checked"
    os.mkfifo(checked)
    with bench.start("-o", "ndjson", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert checked.read_text() == "checked\n"  # two steps later, and nothing was read
        told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert told == bench.journals[0].read_bytes()
    assert told.count(b"\n") > 100_000


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted (Ctrl-C)"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "its terminal was closed (SIGHUP)"),
    ],
)
def test_signal_ends_every_process_and_the_journal(
    bench: Bench, number: signal.Signals, code: int, words: str
) -> None:
    # The step's command, and what it left in a session of its own: that may only just begin.
    with held(bench, "-o", "ndjson") as (process, _), watching(both_processes_of(bench)) as pidfds:
        process.send_signal(number)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert all(has_ended(pidfd) for pidfd in pidfds)
    assert process.returncode == code
    assert not bench.venvs
    assert not list((bench.workdir / "cache" / ".scratch").iterdir())
    last = events(bench.journals[0].read_bytes())[-1]
    assert (last["type"], last["status"]) == ("build.completed", "canceled")
    assert (last["reason"], last["error_message"]) == ("Canceled", words)
    assert events(rest)[-1] == last


def test_second_ctrl_c_ends_at_once_and_the_next_command_heals(bench: Bench) -> None:
    uv = bench.directory / "uv"
    uv.write_text(uv.read_text().replace("case", "trap '' TERM\ncase", 1))
    with held(bench) as (process, _), watching(processes_of(bench)) as pidfds:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"Canceling: ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        assert all(has_ended(pidfd, within_s=PATIENCE_S) for pidfd in pidfds)
    assert process.returncode == -signal.SIGINT
    (torn,), (left,) = bench.journals, bench.venvs
    assert b"build.completed" not in torn.read_bytes()

    assert bench.run().code == 0
    last = events(torn.read_bytes())[-1]
    assert (last["type"], last["reason"]) == ("build.completed", "Interrupted")
    assert not left.exists()
    assert len(bench.venvs) == 1


def test_full_disk_fails_the_build_and_its_end_is_told_all_the_same(bench: Bench) -> None:
    with held(bench, "-o", "ndjson") as (process, opened):
        # As on a full disk, nothing can be written to files from here on.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, 1))
        os.write(opened, b"open\n")
        rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    last = events(rest)[-1]
    assert (last["type"], last["status"]) == ("build.completed", "failed")
    assert (last["reason"], last["id"]) == (
        "JournalFailed",
        bench.journals[0].read_bytes().count(b"\n") + 1,
    )
    assert not bench.venvs


@pytest.mark.parametrize("arguments", [(), ("-o", "ndjson")], ids=["text", "ndjson"])
def test_build_is_canceled_once_nobody_reads(bench: Bench, arguments: tuple[str, ...]) -> None:
    with held(bench, *arguments) as (process, _), watching(processes_of(bench)) as pidfds:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # the step is silent: nothing is written that could fail
        assert process.wait(PATIENCE_S) == 128 + signal.SIGPIPE
        assert all(has_ended(pidfd) for pidfd in pidfds)
        assert b"Error" not in process.stderr.read()
    last = events(bench.journals[0].read_bytes())[-1]
    assert (last["status"], last["error_message"]) == (
        "canceled",
        "nobody reads its output any more",
    )
    assert not bench.venvs


def test_second_command_waits_for_the_first_and_takes_its_build(bench: Bench) -> None:
    pipe = subprocess.PIPE
    with held(bench) as (first, opened), bench.start(stdout=pipe, stderr=pipe) as second:
        assert second.stderr is not None
        waiting = second.stderr.readline().decode()
        assert waiting.startswith("waiting for another command that builds default/invoices in ")
        os.write(opened, b"open\n")
        first.communicate(timeout=PATIENCE_S)
        told, _ = second.communicate(timeout=PATIENCE_S)
    assert (first.returncode, second.returncode) == (0, 0)
    assert told.startswith(b"Reused existing build build_")
    assert len(bench.venvs) == 1
