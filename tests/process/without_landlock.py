"""A program on a kernel that has no Landlock: a filter answers for it as an old kernel would."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct

from configbuild.errors import LauncherError
from configbuild.process import Launcher
from tests.process.support import Recorder, shell
from tests.process.test_confinement import CAGE, caged

_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_CREATE_RULESET = 444


def take_landlock_away() -> None:
    code = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 0),
            (_IF_EQUAL, 0, 1, _CREATE_RULESET),
            (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS),
            (_RETURN, 0, 0, 0x7FFF0000),
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0, os.strerror(ctypes.get_errno())


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
