"""What hostile code goes for: files of others, and what stands for the operator."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from configbuild.cage import Limits
from configbuild.layout import Layout
from configbuild.model import BuildId, ConfigKey

OTHER = ConfigKey("team-b", "wages")

# Small, so that nothing is used up where an attempt is allowed.
LIMITS = Limits(memory_bytes=1024**3, processes=1024, file_bytes=64 * 1024**2, open_files=256)


@contextmanager
def targets(layout: Layout, *, namespace: str, limits: Limits = LIMITS) -> Iterator[str]:
    """Lay out all that is attacked; gives it as JSON, by the names that the attempts know."""
    foreign = layout.build(OTHER, BuildId.new())
    files = {
        "token": layout.venvs.parent / "serviceaccount" / "token",
        "foreign source": layout.namespace_sources(OTHER.namespace) / "wages" / "pyproject.toml",
        "foreign cache": foreign.caches.uv / "wheel",
        "foreign venv": foreign.venv / "bin" / "activate",
        "journal": layout.logs / "another.ndjson",
        "removable": layout.venvs.parent / "removable",
    }
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    shared_cache = layout.cache / namespace / "uv"
    shared_cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = secrets.token_hex(8)
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(f"\0{abstract}")
        local.listen()
        yield json.dumps(
            {
                **{name: str(path) for name, path in files.items()},
                "shared cache": str(shared_cache),
                "outside": str(layout.venvs.parent),
                "pid": stack.enter_context(_victim()),
                "port": listener.getsockname()[1],
                "abstract socket": abstract,
                "memory_bytes": limits.memory_bytes,
                "file_bytes": limits.file_bytes,
                "open_files": limits.open_files,
                "processes": limits.processes,
            }
        )


@contextmanager
def _victim() -> Iterator[int]:
    # A program that every user may start; its interpreter may lie where only root gets.
    with subprocess.Popen(["/bin/sleep", "infinity"], env={"SECRET": "secret"}) as victim:
        try:
            yield victim.pid
        finally:
            victim.kill()


def outcome_of(lines: list[str], where: str, name: str) -> str:
    """Find what an attempt said of itself: ``succeeded`` or ``denied``."""
    start = f"{where}: {name}: "
    said = [line.removeprefix(start) for line in lines if line.startswith(start)]
    assert len(said) == 1, (start, lines)
    return said[0].partition(":")[0]


def attempts_source() -> str:
    """The hostile code as text, to be put into a package."""
    return Path(__file__).with_name("attempts.py").read_text(encoding="utf-8")


def user_threads() -> int:
    """Count the threads of this user, as the kernel does for RLIMIT_NPROC."""
    own = os.getuid()
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == own:
                    found += len(list((entry / "task").iterdir()))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
