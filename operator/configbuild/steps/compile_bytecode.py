"""Compile everything installed in a venv to bytecode, and run nothing of it.

Run as ``python -I -S -B compile_bytecode.py SITE_PACKAGES KEPT`` by the interpreter behind the
venv. uv and pip would do it with the venv's own, which runs what its ``.pth`` files say: code of
packages, with a venv that can be written to, whose files may be links into a cache that others
read.

What a file compiles to follows from its content. KEPT has the bytecode of the last venv of the
config, by the hash of the source and its place, and gets that of this one. In both it is one file
with two names where the file system can do that.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import os
import shutil
import struct
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode

# PEP 552: magic number, flags, time and size of the source.
HEADER_BYTES = 16


def main(site_packages: str, kept: str) -> int:
    """Compile in as many processes as there are processors; a file that fails is left as it is."""
    files = sorted(str(path) for path in Path(site_packages).rglob("*.py"))
    last, coming = Path(kept, "last"), Path(kept, "coming")
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir()
    count = len(os.sched_getaffinity(0))
    told, tell = os.pipe()
    # No pool of the standard library: its locks need /dev/shm, which builds share and do not get.
    workers = [start(files[n::count], site_packages, (last, coming), tell) for n in range(count)]
    os.close(tell)
    done = [os.waitpid(worker, 0)[1] == 0 for worker in workers]
    taken = sum(count for (count,) in struct.iter_unpack("=Q", os.read(told, 8 * count)))
    # Only what this venv has: so it does not grow with each edit.
    shutil.rmtree(last, ignore_errors=True)
    with contextlib.suppress(OSError):  # the next venv would be compiled anew
        coming.rename(last)
    print(f"Bytecode compiled {len(files) - taken} files; {taken} were compiled for the last venv")
    return 0 if all(done) else 1


def start(files: list[str], root: str, kept: tuple[Path, Path], tell: int) -> int:
    """Fork a process that compiles some files, and tells how many it took from ``kept``; its id."""
    worker = os.fork()
    if worker == 0:
        try:
            taken = sum(compile_or_take(file, root, *kept) for file in files)
            os.write(tell, struct.pack("=Q", taken))
        except BaseException:  # noqa: BLE001 - a forked process must not go on as the first one
            os._exit(1)
        os._exit(0)
    return worker


def compile_or_take(file: str, root: str, last: Path, coming: Path) -> bool:
    """Make the bytecode of a file and keep it; whether it was taken from what was kept."""
    bytecode = Path(cache_from_source(file))
    name = key(file, root)
    brought = name is None or os.path.lexists(bytecode)
    taken = not brought and take(last / str(name), bytecode, header(file))
    if not taken:
        # Silent: templates and tests of errors are in many packages, and are no modules. The path
        # is that below the root, and Python puts in its place where it finds the file.
        compileall.compile_file(
            file, quiet=2, stripdir=root, invalidation_mode=PycInvalidationMode.TIMESTAMP
        )
    # What a package brings along is its own business.
    if not brought and bytecode.is_file():
        with contextlib.suppress(OSError):
            link_or_copy(bytecode, coming / str(name))
    return taken


def key(file: str, root: str) -> str | None:
    """Name what the bytecode of a file follows from; nothing, if it is no plain file."""
    if os.path.islink(file) or not os.path.isfile(file):  # noqa: PTH113, PTH114 - thousands
        return None
    place = os.fsencode(os.path.relpath(file, root))
    content = hashlib.sha256(Path(file).read_bytes()).digest()
    return hashlib.sha256(MAGIC_NUMBER + content + place).hexdigest()


def header(file: str) -> bytes:
    """Write what bytecode begins with that belongs to this very file (PEP 552)."""
    status = os.stat(file)  # noqa: PTH116 - thousands
    time, size = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
    return MAGIC_NUMBER + struct.pack("<LLL", 0, time, size)


def take(kept: Path, bytecode: Path, header: bytes) -> bool:
    """Put kept bytecode into the venv; whether there was any."""
    try:
        with kept.open("rb") as opened:
            its_header, code = opened.read(HEADER_BYTES), opened.read()
    except OSError:
        return False
    # Empty: the machine went down before it was on disk.
    if not code:
        return False
    bytecode.parent.mkdir(exist_ok=True)
    if its_header == header:
        link_or_copy(kept, bytecode)
    else:
        # The same content in a file of another time: a wheel that was unpacked once more.
        bytecode.write_bytes(header + code)
    return True


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; a copy, where that is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
