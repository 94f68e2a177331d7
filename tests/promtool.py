"""Prometheus' own tool, which knows whether metrics, rules and their tests are right."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# It reads some kilobytes.
PATIENCE_S = 60


def promtool(*arguments: str | Path, content: str | None = None) -> str:
    """Run it; gives what it says, on both streams. Fails the test if it finds fault.

    Without it the test is skipped, but for CI, where ``.ci/run`` installs it.
    """
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing; .ci/run installs it with Debian's prometheus")
        pytest.skip("promtool is missing (Debian: apt install prometheus)")
    done = subprocess.run(
        [program, *map(str, arguments)],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
