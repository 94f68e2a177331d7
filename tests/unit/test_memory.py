"""What the kernel says of processes that it killed for want of memory, in the form of cgroup v2."""

from __future__ import annotations

from pathlib import Path

import pytest

from configbuild.memory import oom_kills

EVENTS = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 3\noom_group_kill 0\n"


@pytest.fixture
def group(tmp_path: Path) -> Path:
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "memory.events").write_text(EVENTS)
    return tmp_path


@pytest.mark.parametrize(
    ("own_group", "kills"),
    [
        pytest.param("0::/pod\n", 3, id="cgroup v2"),
        pytest.param("4:memory:/pod\n0::/pod\n", 3, id="both"),
        pytest.param("4:memory:/pod\n", None, id="cgroup v1"),
        pytest.param("0::/\n", None, id="no memory controller there"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_kills_are_those_of_the_own_group(group: Path, own_group: str, kills: int | None) -> None:
    (group / "own").write_text(own_group)
    assert oom_kills(own_group=group / "own", groups=group) == kills


def test_file_in_another_form_says_nothing(group: Path) -> None:
    (group / "own").write_text("0::/pod\n")
    (group / "pod" / "memory.events").write_text("oom_kill many\n")
    assert oom_kills(own_group=group / "own", groups=group) is None
