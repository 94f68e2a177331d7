"""Give a venv copies of its own in the place of files that are links into a cache.

Run as ``python -I -S -B unshare_files.py VENV`` by the interpreter behind the venv, before a
command that may run code of packages and write to the venv: a write to a link would change the
cache, and with it the venvs of others.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys


def main(venv: str) -> int:
    """Replace each file that has another name elsewhere by a copy, and say how many."""
    count = 0
    for parent, _, names in os.walk(venv):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 - thousands of files
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                copy = f"{path}.unshared"
                shutil.copy2(path, copy)
                os.replace(copy, path)  # noqa: PTH105
                count += 1
    print(f"Made copies of {count} files that were shared with a cache")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
