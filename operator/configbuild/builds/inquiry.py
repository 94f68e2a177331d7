"""Runs one command outside any build, for what has to be known before one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from configbuild.cage import Limits, Reach
from configbuild.model import Stream
from configbuild.process import Command, Launcher
from configbuild.sandbox import source_cage
from configbuild.sources import Ran

# The answer to a question about one reference has some hundred bytes; a server may have more to say
# that nobody asked for.
_MOST_BYTES = 1 << 20

# There is nothing that such a command would have to put in order.
_GRACE_S = 0.5

_TAIL_LINES = 20


async def inquire(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    reach: Reach,
    limits: Limits | None,
) -> Ran:
    """Run a command to its end; see :class:`configbuild.sources.Run`.

    In a cage with these ``limits``; ``None``: without a sandbox. Cancelled, it ends the command and
    all that this started, and reaps it.
    """
    answer = _Answer()
    cage = source_cage(reach, limits) if limits is not None else None
    async with await Launcher.start() as launcher:
        command = Command(argv=tuple(argv), env=environment, cwd=directory, cage=cage)
        ended = await launcher.run(command, answer, grace_s=_GRACE_S)
    return Ran(
        status=ended.status,
        output=bytes(answer.streams[Stream.STDOUT]),
        tail=answer.streams[Stream.STDERR].decode(errors="replace").splitlines()[-_TAIL_LINES:],
    )


class _Answer:
    """Keeps the beginning of both streams; see :class:`configbuild.output.OutputSink`."""

    def __init__(self) -> None:
        self.streams = {stream: bytearray() for stream in Stream}

    def feed(self, stream: Stream, chunk: bytes) -> None:
        kept = self.streams[stream]
        kept += chunk[: _MOST_BYTES - len(kept)]

    def end(self, stream: Stream) -> None:
        """Nothing is left to do."""
