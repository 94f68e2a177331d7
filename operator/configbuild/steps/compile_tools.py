"""Compile what build environments are made of to bytecode, and run nothing of it.

Run as ``python -I -S -B compile_tools.py ARCHIVES`` by the interpreter that builds wheels. ARCHIVES
is the folder of uv's cache with unpacked wheels (``archive-v0``). uv links these into a new
environment for each build and compiles none, so setuptools took longer to be read than to build.

The links have the times of the files that they lead to, so bytecode stays valid there. Where it
should not, Python reads the source, as it did.
"""

from __future__ import annotations

import compileall
import os
import sys
from pathlib import Path

# Modules of one wheel. Build back ends have up to 400; what has more is a library that came into
# this cache as the dependency of something without a wheel, and no build imports it whole.
MOST_MODULES = 1000


def main(archives: str) -> int:
    """Compile in as many processes as there are processors; a file that fails is left as it is."""
    files = [file for folder in sorted(Path(archives).iterdir()) for file in modules(folder)]
    count = len(os.sched_getaffinity(0))
    # No pool of the standard library: its locks need /dev/shm, which builds share and do not get.
    workers = [start(files[number::count]) for number in range(count)]
    done = [os.waitpid(worker, 0)[1] == 0 for worker in workers]
    print(f"Bytecode compiled {len(files)} files of build tools, for this build and later ones")
    return 0 if all(done) else 1


def modules(folder: Path) -> list[str]:
    """List the modules of an unpacked wheel; none, if these are too many."""
    found = sorted(str(path) for path in folder.rglob("*.py"))
    return found if len(found) <= MOST_MODULES else []


def start(files: list[str]) -> int:
    """Fork a process that compiles some files; its id."""
    worker = os.fork()
    if worker == 0:
        try:
            for file in files:
                compileall.compile_file(file, quiet=2)
        except BaseException:  # noqa: BLE001 - a forked process must not go on as the first one
            os._exit(1)
        os._exit(0)
    return worker


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
