from __future__ import annotations

import asyncio
import time

import pytest

from configbuild.errors import LauncherError
from configbuild.process import Launcher
from tests.process.support import DAEMON, Recorder, has_ended, in_loop, python, shell, watching

# Neither ends by SIGTERM; both say that they got it.
DEAF = (
    DAEMON
    + """
def rest():
    while True:
        signal.sigwait({signal.SIGTERM})
        print("asked", flush=True)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
daemon()
if os.fork() == 0:
    print("child", os.getpid(), flush=True)
    rest()
print("deaf", os.getpid(), flush=True)
rest()
"""
)

FAMILY = ("deaf", "child", "daemon")

POLITE = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("ready", flush=True)
signal.sigwait({signal.SIGTERM})
print("last words")
"""


@in_loop
async def test_cancelled_a_command_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(DEAF), sink, grace_s=0.3))
        pids = [pid for word in FAMILY for pid in await sink.pids_after(word)]
        with watching(pids) as pidfds:
            begun = time.monotonic()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert time.monotonic() - begun >= 0.3
            assert all(has_ended(pidfd) for pidfd in pidfds)
        assert (await launcher.run(shell("exit 0"), Recorder())).ok


@in_loop
async def test_cancelled_a_command_has_time_for_its_last_words() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(POLITE), sink, grace_s=3600))
        await sink.words_after("ready")
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert sink.stdout == b"ready\nlast words\n"


@in_loop
async def test_cancelled_the_whole_tree_is_asked_and_a_second_time_killed_at_once() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(DEAF), sink, grace_s=3600))
        pids = [pid for word in FAMILY for pid in await sink.pids_after(word)]
        with watching(pids) as pidfds:
            run.cancel()
            await sink.words_after("asked", lines=3)
            assert not run.done()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert all(has_ended(pidfd) for pidfd in pidfds)


@in_loop
async def test_any_number_of_cancellations_leaves_nothing() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        run = asyncio.create_task(launcher.run(python(DEAF), sink, grace_s=3600))
        with watching(await sink.pids_after("deaf")) as [command]:
            while not run.done():
                run.cancel()
                await asyncio.sleep(0)
            assert has_ended(command)
        assert run.cancelled()
        assert (await launcher.run(shell("exit 0"), Recorder())).ok


@in_loop
async def test_a_cancellation_before_the_command_has_begun_leaves_nothing() -> None:
    async with await Launcher.start() as launcher:
        for turns in range(4):
            run = asyncio.create_task(launcher.run(python(DEAF), Recorder(), grace_s=0))
            for _ in range(turns):
                await asyncio.sleep(0)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run


@in_loop
async def test_a_timeout_around_a_run_is_a_timeout() -> None:
    sink = Recorder()
    async with await Launcher.start() as launcher:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await launcher.run(python(DEAF), sink, grace_s=0)
        assert (await launcher.run(shell("exit 0"), Recorder())).ok


def test_the_end_of_the_loop_ends_a_run_that_nobody_awaits() -> None:
    runs = []

    async def forgetful() -> None:
        launcher = await Launcher.start()
        sink = Recorder()
        runs.append(asyncio.create_task(_run_and_close(launcher, sink)))
        await sink.words_after("deaf")

    asyncio.run(forgetful())
    assert runs[0].cancelled()


async def _run_and_close(launcher: Launcher, sink: Recorder) -> None:
    async with launcher:
        await launcher.run(python(DEAF), sink, grace_s=0.1)


@in_loop
async def test_closing_the_launcher_ends_a_command_at_once() -> None:
    sink = Recorder()
    launcher = await Launcher.start()
    run = asyncio.create_task(launcher.run(python(DEAF), sink, grace_s=3600))
    with watching(await sink.pids_after("deaf")) as [command]:
        await launcher.aclose()
        assert has_ended(command)
        with pytest.raises(LauncherError, match="closed"):
            await run


@in_loop
async def test_a_cancelled_close_still_ends_everything() -> None:
    launcher = await Launcher.start()
    sink = Recorder()
    await launcher.run(shell("echo launcher $PPID"), sink)
    with watching(await sink.pids_after("launcher")) as [process]:
        close = asyncio.create_task(launcher.aclose())
        await asyncio.sleep(0)
        close.cancel()
        with pytest.raises(asyncio.CancelledError):
            await close
        assert has_ended(process)
    await launcher.aclose()
