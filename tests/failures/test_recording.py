"""The tools that are installed here still say what the fixtures hold, as far as it is judged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.failures.fixture import FIXTURES, read_fixture
from tests.failures.record import record
from tests.failures.situations import QUICK
from tests.failures.stage import Templates
from tests.failures.test_fixtures import told_of

# Of all that is quick, what stands for one kind each; `record` records the rest.
AGAIN = (
    "uv/no-such-package",
    "uv/no-such-version",
    "uv/newer-python-required",
    "uv/dependencies-conflict",
    "uv/config-wants-another-engine",
    "uv/hash-is-another",
    "uv/index-wants-credentials",
    "uv/backend-raises",
    "uv/backend-has-no-memory",
    "uv/import-raises",
    "uv/dependency-is-too-old-at-check",
    "old-pip/newer-python-required",
    "old-pip/dependencies-conflict",
    "old-pip/hash-is-another",
    "old-pip/backend-raises",
)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates.at(tmp_path_factory.mktemp("templates"), Path(find_uv_bin()))


@pytest.mark.parametrize("name", AGAIN)
def test_failure_made_again_is_told_as_before(
    name: str, tmp_path: Path, templates: Templates
) -> None:
    before = read_fixture(FIXTURES / f"{name}.txt")
    again = record(name, tmp_path / "stage", templates)
    told, expected = told_of(again), told_of(before)
    assert told.reason == expected.reason, again.lines
    if again.tool == before.tool and _has_python_of(before.lines):
        assert told.headline == expected.headline
    else:
        # Other versions may use other words, as long as they are understood.
        assert told.headline.startswith(expected.headline.partition(":")[0])
    assert told.hint == expected.hint


def test_what_is_recorded_again_is_quick() -> None:
    assert set(AGAIN) <= set(QUICK)


def _has_python_of(lines: tuple[str, ...]) -> bool:
    """Whether the fixture speaks of this Python, or of none."""
    version = ".".join(map(str, sys.version_info[:3]))
    return not any("Python 3." in line and version not in line for line in lines)
