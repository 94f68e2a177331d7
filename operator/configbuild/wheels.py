"""Wheels that were built from source trees, kept for the next build of the same tree.

They are the config's own: what built them was code of its packages, and what it built from may be
in a cache that this code can write to. Only the operator writes here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from configbuild.files import remove_tree
from configbuild.interpreters import Interpreter
from configbuild.model import InstallOptions

# Changes whenever a new version of the operator builds equal trees in another way.
SCHEME = 1

# The engine's, the config's, and those of the last edits, which somebody may take back.
MOST_KEPT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWheels:
    """The wheels of one config, one in each folder below ``root``, which is named by its key."""

    root: Path

    def take(self, key: str, into: Path) -> bool:
        """Copy the wheel of a key into a folder; whether there was one."""
        found = sorted((self.root / key).glob("*.whl"))
        if len(found) != 1:
            return False
        shutil.copyfile(found[0], into / found[0].name)
        os.utime(self.root / key)
        return True

    def keep(self, key: str, wheel: Path) -> None:
        """Keep a wheel that code of a package has left; nothing is kept that is no plain file."""
        folder, partial = self.root / key, self.root / f".{key}.partial"
        remove_tree(partial)
        partial.mkdir(parents=True)
        # O_NOFOLLOW: it may be a link to what only the operator can read.
        descriptor = os.open(wheel, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as source:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                with (partial / wheel.name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                remove_tree(folder)
                partial.rename(folder)
        self._trim()

    def _trim(self) -> None:
        kept = sorted(self.root.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in kept[MOST_KEPT:]:
            remove_tree(folder)


def wheel_key(digest: str, interpreter: Interpreter, options: InstallOptions) -> str:
    """Name what a wheel is built from and by: equal keys, equal wheels.

    Save for what an index answers in the meantime to unpinned requirements of a build; that enters
    only with a build that uses no kept wheel, for its ``ttl`` or by force.
    """
    parts = [
        SCHEME,
        digest,
        str(interpreter.path),
        interpreter.version,
        interpreter.platform,
        options.installer,
        options.index.urls,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
