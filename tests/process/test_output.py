from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import threading
from pathlib import Path

import pytest

from configbuild import output as pipes
from configbuild.model import Stream
from configbuild.process import Launcher
from tests.process.support import (
    DAEMON,
    Gate,
    Recorder,
    has_ended,
    in_loop,
    python,
    shell,
    watching,
)


@in_loop
async def test_output_of_both_streams_arrives_whole_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(random.Random(1).randbytes(20 * 1000 * 1000))
    sink = Recorder()
    async with await Launcher.start() as launcher:
        await launcher.run(shell('cat "$1" & cat "$1" >&2; wait', file), sink)
    expected = hashlib.sha256(file.read_bytes()).digest()
    assert hashlib.sha256(sink.stdout).digest() == expected
    assert hashlib.sha256(sink.stderr).digest() == expected
    assert sorted(sink.ended) == [Stream.STDERR, Stream.STDOUT]


@in_loop
async def test_output_is_seen_while_the_command_runs(gate: Gate) -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(
            launcher.run(shell('echo first; read _ < "$1"; echo second', gate.path), sink)
        )
        await sink.words_after("first")
        assert sink.stdout == b"first\n"
        gate.open()
        await run
    assert sink.stdout == b"first\nsecond\n"


@in_loop
async def test_output_is_fed_in_another_thread_than_the_loops() -> None:
    threads = set()

    class Sink(Recorder):
        def feed(self, stream: Stream, chunk: bytes) -> None:
            threads.add(threading.current_thread())
            super().feed(stream, chunk)

        def end(self, stream: Stream) -> None:
            threads.add(threading.current_thread())
            super().end(stream)

    async with await Launcher.start() as launcher:
        await launcher.run(shell("echo out; echo err >&2"), Sink())
    assert len(threads) == 1
    assert threading.current_thread() not in threads


@in_loop
async def test_output_written_right_before_the_exit_is_not_lost() -> None:
    program = "import os; os.write(1, b'o' * 60000); os.write(2, b'e' * 60000); os._exit(0)"
    async with await Launcher.start() as launcher:
        for _ in range(20):
            sink = Recorder()
            await launcher.run(python(program), sink)
            assert sink.stdout == b"o" * 60000
            assert sink.stderr == b"e" * 60000


@in_loop
async def test_a_command_may_close_its_output_long_before_it_exits(gate: Gate) -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Sink(Recorder):
        def end(self, stream: Stream) -> None:
            super().end(stream)
            loop.call_soon_threadsafe(closed.set)

    async with await Launcher.start() as launcher:
        script = 'exec >&- 2>&-; read _ < "$1"; exit 4'
        run = asyncio.create_task(launcher.run(shell(script, gate.path), Sink()))
        await closed.wait()
        assert not run.done()
        gate.open()
        assert (await run).exit_code == 4


@in_loop
async def test_a_daemon_that_holds_the_output_does_not_hold_up_the_run(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes, "DRAIN_S", 3600.0)  # the streams end, they are not given up
    sink = Recorder()
    program = DAEMON + "daemon(); open(sys.argv[1]).readline(); print('bye')"
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(program, gate.path), sink))
        with watching(await sink.pids_after("daemon")) as [daemon]:
            gate.open()
            result = await run
            assert has_ended(daemon)
    assert result.ok
    assert result.descendants_killed == 1
    assert sink.stdout.endswith(b"bye\n")
    assert sorted(sink.ended) == [Stream.STDERR, Stream.STDOUT]


@in_loop
async def test_a_pipe_held_open_outside_the_tree_does_not_hold_up_the_run(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes, "DRAIN_S", 0.0)
    sink = Recorder()
    async with await Launcher.start() as launcher:
        script = 'echo pid $$; read _ < "$1"; echo bye'
        run = asyncio.create_task(launcher.run(shell(script, gate.path), sink))
        [pid] = await sink.pids_after("pid")
        outside = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)
        gate.open()
        assert (await run).ok
        os.close(outside)
    assert sink.stdout.endswith(b"bye\n")
    assert sorted(sink.ended) == [Stream.STDERR, Stream.STDOUT]


@in_loop
async def test_what_is_in_a_pipe_that_is_given_up_is_taken_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipes, "DRAIN_S", 0.0)
    feeding, go_on = threading.Event(), threading.Event()

    class SlowSink(Recorder):
        def feed(self, stream: Stream, chunk: bytes) -> None:
            feeding.set()
            go_on.wait()
            super().feed(stream, chunk)

    sink = SlowSink()
    with pipes.CommandOutput(sink) as output:
        outside = os.dup(output.write_ends[0])
        output.hand_over()
        os.write(outside, b"a")
        feeding.wait()
        os.write(outside, b"b" * 60000)
        output.command_ended()
        go_on.set()
        await output.done
    os.close(outside)
    assert sink.stdout == b"a" + b"b" * 60000
    assert sorted(sink.ended) == [Stream.STDERR, Stream.STDOUT]


@in_loop
async def test_a_sink_that_cannot_write_ends_the_command_and_its_error_surfaces() -> None:
    class FullDisk(Recorder):
        def feed(self, stream: Stream, chunk: bytes) -> None:
            super().feed(stream, chunk)
            raise OSError(errno.ENOSPC, "No space left on device")

    program = DAEMON + "daemon(); rest()"
    sink = FullDisk()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(program), sink))
        with watching(await sink.pids_after("daemon")) as [daemon]:
            with pytest.raises(OSError, match="No space left"):
                await run
            assert has_ended(daemon)
        assert (await launcher.run(shell("exit 0"), Recorder())).ok


@in_loop
async def test_a_sink_that_cannot_end_its_error_surfaces() -> None:
    class FullDisk(Recorder):
        def end(self, stream: Stream) -> None:
            super().end(stream)
            raise OSError(errno.ENOSPC, "No space left on device")

    async with await Launcher.start() as launcher:
        with pytest.raises(OSError, match="No space left"):
            await launcher.run(shell("echo a line"), FullDisk())


@in_loop
async def test_what_gathers_in_one_pipe_comes_before_what_is_written_to_the_other_after_it() -> (
    None
):
    fed: list[bytes] = []

    class Sink(Recorder):
        def feed(self, stream: Stream, chunk: bytes) -> None:
            if not fed:  # this pipe is let alone now, and the other one is not
                os.write(output_ends[1], b"2")
                os.write(output_ends[0], b"3")
            fed.append(chunk)

    with pipes.CommandOutput(Sink()) as output:
        output_ends = list(output.write_ends)
        os.write(output_ends[1], b"1")
        while len(fed) < 3:  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0)
        output.hand_over()
        await output.done
    assert fed == [b"1", b"2", b"3"]
