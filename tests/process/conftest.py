from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.support import Gate, children_of


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Every test here also shows that no file descriptor, thread or child process is left."""
    before = (_open_files(), threading.active_count(), children_of(os.getpid()))
    yield
    assert (_open_files(), threading.active_count(), children_of(os.getpid())) == before


@pytest.fixture
def gate(nothing_leaks: None, tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


def _open_files() -> dict[str, str]:
    files = {}
    for fd in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # the one with which the directory was listed
            files[fd.name] = str(fd.readlink())
    return files
