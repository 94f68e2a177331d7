"""Try everything as a user without any privilege, as a program of its own.

usage: ``python unprivileged.py DIRECTORY caged|free``. DIRECTORY is a new one that everybody may
enter. As root it gives itself away first; what is attacked then belongs to the same user.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

from configbuild.confinement import CageRequest, confine
from configbuild.layout import Layout
from tests.attacks.attempts import try_all
from tests.attacks.targets import LIMITS, targets, user_threads

# Nobody's: no process of this machine has it, so that only those of the test are counted.
UID = 54321
_SET_DUMPABLE = 4  # of prctl(2)


def main(directory: Path, way: str) -> None:
    """Lay out the targets, enter the cage or not, and attack."""
    own = directory / "own"
    own.mkdir()
    if os.getuid() == 0:
        for path in (directory, own):
            os.chown(path, UID, UID)
        _become_nobody()
    # What a change of user takes away, and a process that began as that user has.
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1, 0, 0, 0)
    os.environ["TMPDIR"] = str(own)
    limits = replace(LIMITS, processes=user_threads() + 40)
    layout = Layout(
        venvs=directory / "venvs",
        logs=directory / "logs",
        cache=directory / "cache",
        sources=directory / "sources",
    )
    with targets(layout, namespace="team-a", limits=limits) as aims:
        child = os.fork()
        if child == 0:
            if way == "caged":
                confine(
                    CageRequest(
                        readable=["/usr", "/lib", "/lib64"],
                        writable=["/dev/null", str(own)],
                        ports=[443],
                        **asdict(limits),
                    )
                )
            try_all(aims, where=way)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
