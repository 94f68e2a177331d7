"""Become another program that the kernel kills as soon as its parent ends.

    python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT ...]

This holds even when the parent is killed with SIGKILL and so has no time to clean up.
"Parent" is the thread that started us, see prctl(2), PR_SET_PDEATHSIG. Standard
library only; the pid stays the same, since PROGRAM replaces this interpreter.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def main(parent: int, argv: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before prctl: no signal will come
        sys.exit("the parent is gone")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and that is inherited
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
