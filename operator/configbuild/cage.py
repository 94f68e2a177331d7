"""What a command of a build may read, write, reach and use up. Pure data.

:mod:`configbuild.sandbox` makes one for each command; :mod:`configbuild.confinement` has the kernel
enforce it in the command's own process, between fork and exec.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command may use up, by setrlimit(2).

    ``memory_bytes`` is of each process, and so is ``open_files``; ``file_bytes`` of each file;
    ``processes`` counts those of the operator's user, threads and those of other builds included.
    """

    memory_bytes: int = 2 * _GIB
    processes: int = 1024
    file_bytes: int = 4 * _GIB
    open_files: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """What a command may do; all else is denied.

    Paths stand for all that is below them. ``readable`` may be read and executed, and need not be
    there; ``writable`` is there, and may be changed as well. ``ports`` are those of TCP that may be
    connected to; without any there is no network at all.
    """

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    ports: tuple[int, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a command needs beside the system itself; in a sandbox it gets nothing else.

    ``program``: what it runs, wherever that is installed. ``writable``: what is there and may be
    changed, with all below it; ``readable``: what may be read. ``ports`` are those of TCP that it
    connects to; without any it has no network.
    """

    program: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
