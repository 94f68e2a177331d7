"""A build's events over HTTP, whole and in order, through connections that break."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from configbuild.cli.api import Api, CutError, UnreachableError
from configbuild.events import BuildCompleted, completes, decode_line, line_id

# An operator that is replaced (Recreate) is back within half a minute.
PATIENCE_S = 60.0

# The first try comes at once where a proxy cut an idle stream; the pauses then double.
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

# Within a string its quotes would be escaped, so this is the type of an event and nothing else.


class Follower:
    """Reads the events of one build, and goes on where it was when the connection breaks.

    ``last_id`` is that of the last event given out, ``completed`` the build's end once that came. A
    block is empty where the server only said that it is still there.
    ``notify`` is told in words what has to be waited for.
    """

    def __init__(self, api: Api, *, notify: Callable[[str], None], last_id: int = 0) -> None:
        self.last_id = last_id
        self.completed: BuildCompleted | None = None
        self._api = api
        self._notify = notify
        self.build_id: str | None = None
        self._answered = False

    def build(self, build_id: str, *, follow: bool) -> Iterator[bytes]:
        """Yield blocks of whole lines: what there is, with ``follow`` on to the build's end.

        :class:`UnreachableError` if the server is not there, or does not come back.
        """
        self.build_id = build_id
        return self._blocks(self._events(follow=follow), follow=follow)

    def answer(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks of a stream with which a build was asked for, on to the build's end."""
        return self._blocks(stream, follow=True)

    def _events(self, *, follow: bool) -> Iterator[bytes]:
        assert self.build_id is not None
        query = {"after_id": self.last_id, "follow": str(follow).lower()}
        return self._api.stream("builds", self.build_id, "events", query=query)

    def _blocks(self, stream: Iterator[bytes], *, follow: bool) -> Iterator[bytes]:
        deadline, pause_s = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
        while True:
            before = self.last_id
            try:
                yield from self._whole_lines(stream)
                if self.completed is not None or not follow:
                    return
                problem = "the server ended the stream before the build's end"
            except (CutError, UnreachableError) as error:
                if not self._answered or self.build_id is None:
                    raise
                problem = error.message
            if self.last_id > before:
                deadline, pause_s = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
            if time.monotonic() > deadline:
                raise UnreachableError(f"{problem}; go on later with --after-id {self.last_id}")
            self._notify(f"{problem}; reading on after event {self.last_id}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            stream = self._events(follow=follow)

    def _whole_lines(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        rest = b""
        for block in stream:
            self._answered = True
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                yield self._noted(whole)

    def _noted(self, block: bytes) -> bytes:
        """Take note of how far a block goes; the empty lines that keep it alive are left out."""
        lines = [line for line in block.split(b"\n") if line]
        if not lines:
            return b""
        last = lines[-1]
        try:
            self.last_id = line_id(last)
            if self.build_id is None or completes(last):
                event = decode_line(last)
                self.build_id = event.build_id
                if isinstance(event.body, BuildCompleted):
                    self.completed = event.body
        except ValueError as error:
            raise UnreachableError(f"what the server sends are no events: {error}") from None
        return b"\n".join([*lines, b""])
