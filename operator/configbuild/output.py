"""Reads the two pipes of a command in a thread of its own, and feeds what takes its output.

A thread, since what is made of output (redaction, lines, a write to the journal) would hold up the
event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from typing import Protocol, Self

from configbuild.model import Stream
from configbuild.tuning import brief_turns

# Measured: 64 KiB a read is the fastest, and what is made of one chunk still takes under 3 ms.
CHUNK_BYTES = 64 * 1024

# A command that writes line by line would wake the thread for each: 0.1 of a core at a thousand
# lines a second. So what comes next is let gather for a moment, but for what comes after silence. A
# flood fills a pipe in less, so it is never held up: its reads are larger than a trickle's.
GATHER_S = 0.002
TRICKLE_BYTES = 4 * 1024

# Once a command is over its whole tree is dead, so its pipes end at once. Only a process outside
# the tree that was handed one of them could keep it open; it is not waited for longer than this.
DRAIN_S = 1.0

# The most that a pipe can hold without privileges (fs.pipe-max-size): one read of this size takes
# everything that was written before.
PIPE_MAX_BYTES = 1024 * 1024


class OutputSink(Protocol):
    """Takes the output of a command, in the thread that reads it.

    What either method raises ends the command and comes out of :meth:`Launcher.run`.
    """

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Take the next bytes of a stream; as long as it takes, the command may have to wait."""

    def end(self, stream: Stream) -> None:
        """Take note that this command writes nothing more to this stream."""


class CommandOutput:
    """The two pipes of one command, and the thread that reads them and feeds the sink.

    ``done`` when the thread is; ``failure`` is then what the sink raised.
    """

    def __init__(self, sink: OutputSink) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.failure: BaseException | None = None
        self.write_ends: list[int] = []
        self._streams: dict[int, Stream] = {}
        self._sink = sink
        self._ended = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="configbuild-output", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as on_error:
            on_error.callback(os.close, self._ended)
            on_error.callback(self.hand_over)
            for stream in (Stream.STDOUT, Stream.STDERR):
                read_end, write_end = os.pipe()
                on_error.callback(os.close, read_end)
                self._streams[read_end] = stream
                self.write_ends.append(write_end)
            self._thread.start()
            on_error.pop_all()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.hand_over()
        self.command_ended()
        self._thread.join()
        os.close(self._ended)

    def hand_over(self) -> None:
        """Close the ends that are for the command alone to hold."""
        while self.write_ends:
            os.close(self.write_ends.pop())

    def command_ended(self) -> None:
        """Stop reading after :data:`DRAIN_S`, should the streams not end before."""
        os.eventfd_write(self._ended, 1)

    def _run(self) -> None:
        try:
            with brief_turns():
                self._read()
        except BaseException as failure:  # noqa: BLE001 - it surfaces from Launcher.run
            self.failure = failure
        for read_end in self._streams:
            os.close(read_end)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.done.set_result, None)

    def _read(self) -> None:
        deadline: float | None = None
        poller = select.poll()
        for fd in (self._ended, *self._streams):
            poller.register(fd, select.POLLIN)
        gathered: int | None = None
        while self._streams:
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                self._take_what_is_left()
                return
            ready = [fd for fd, _ in poller.poll(None if left_s is None else left_s * 1000)]
            ready.sort(key=lambda fd: fd != gathered)  # what gathered is the older
            gathered = None
            for fd in ready:
                if fd == self._ended:
                    deadline = time.monotonic() + DRAIN_S
                    poller.unregister(fd)
                elif chunk := os.read(fd, CHUNK_BYTES):
                    self._sink.feed(self._streams[fd], chunk)
                    gathered = fd if len(chunk) < TRICKLE_BYTES and len(ready) == 1 else None
                else:
                    poller.unregister(fd)
                    self._end(fd)
            if gathered is not None and deadline is None:
                _let_gather(poller, gathered)

    def _take_what_is_left(self) -> None:
        """Take what is in the pipes now: all that was written before the command ended is."""
        for fd in list(self._streams):
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                if chunk := os.read(fd, PIPE_MAX_BYTES):
                    self._sink.feed(self._streams[fd], chunk)
            self._end(fd)

    def _end(self, fd: int) -> None:
        os.close(fd)
        self._sink.end(self._streams.pop(fd))


def _let_gather(poller: select.poll, fd: int) -> None:
    """Leave a pipe alone for a moment, unless it ends, the command does, or the other one speaks.

    The other one does not wait, so that what a command writes to both in turn stays in order.
    """
    poller.modify(fd, 0)  # POLLHUP is told all the same
    poller.poll(GATHER_S * 1000)
    poller.modify(fd, select.POLLIN)
