"""Compile everything installed in a venv to bytecode, and run nothing of it.

Run as ``python -I -S -B compile_bytecode.py SITE_PACKAGES`` by the interpreter behind the venv. uv
and pip would do it with the venv's own, which runs what its ``.pth`` files say: code of packages,
with a venv that can be written to, whose files may be links into a cache that others read.
"""

from __future__ import annotations

import compileall
import os
import sys
from pathlib import Path


def main(site_packages: str) -> int:
    """Compile in as many processes as there are processors; a file that fails is left as it is."""
    files = sorted(str(path) for path in Path(site_packages).rglob("*.py"))
    count = len(os.sched_getaffinity(0))
    # No pool of the standard library: its locks need /dev/shm, which builds share and do not get.
    workers = [start(files[number::count]) for number in range(count)]
    done = [os.waitpid(worker, 0)[1] == 0 for worker in workers]
    print(f"Bytecode compiled {len(files)} files")
    return 0 if all(done) else 1


def start(files: list[str]) -> int:
    """Fork a process that compiles some files; its id."""
    worker = os.fork()
    if worker == 0:
        try:
            for file in files:
                # Silent: templates and tests of errors are in many packages, and are no modules.
                compileall.compile_file(file, quiet=2)
        except BaseException:  # noqa: BLE001 - a forked process must not go on as the first one
            os._exit(1)
        os._exit(0)
    return worker


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
