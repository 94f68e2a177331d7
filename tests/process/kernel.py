"""A kernel that is older than the one below: a filter answers in its place."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_CREATE_RULESET = 444


def take_landlock_away() -> None:
    """Have this process, and all that it starts, find no Landlock."""
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
