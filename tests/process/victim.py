"""An operator to be killed: runs the program in its argument and passes on what that prints."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from configbuild.model import Stream
from configbuild.process import Command, Launcher


class PassOn:
    def feed(self, stream: Stream, chunk: bytes) -> None:
        os.write(1, chunk)

    def end(self, stream: Stream) -> None:
        pass


async def main() -> None:
    argv = (sys.executable, "-I", "-S", "-E", "-c", sys.argv[1])
    async with await Launcher.start() as launcher:
        await launcher.run(Command(argv=argv, env={}, cwd=Path("/")), PassOn())


asyncio.run(main())
