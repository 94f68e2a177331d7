"""A program on a kernel that has no Landlock."""

from __future__ import annotations

import asyncio

from configbuild.errors import LauncherError
from configbuild.process import Launcher
from tests.process.kernel import take_landlock_away
from tests.process.support import Recorder, shell
from tests.process.test_confinement import CAGE, caged


async def main() -> None:
    take_landlock_away()
    async with await Launcher.start() as launcher:
        print("free:", (await launcher.run(shell("exit 0"), Recorder())).exit_code)
        try:
            await launcher.run(caged(shell("exit 0"), CAGE), Recorder())
        except LauncherError as error:
            print(f"caged: {error.reason}: {error.message}")


if __name__ == "__main__":
    asyncio.run(main())
