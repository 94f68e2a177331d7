"""A volume that cannot be written to, as it is found at start."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configbuild.layout import Layout
from configbuild.volume import VolumeError, check_volume


def layout_in(root: Path) -> Layout:
    return Layout(
        venvs=root / "venvs", logs=root / "logs", cache=root / "cache", sources=root / "sources"
    )


def test_directories_are_made_and_nothing_is_left_in_them(tmp_path: Path) -> None:
    check_volume(layout_in(tmp_path))

    assert {path.name for path in tmp_path.rglob("*")} == {"venvs", "logs", "cache"}


def test_directory_that_cannot_be_made_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")

    with pytest.raises(VolumeError, match=r"ADE_LOGS_DIR: user \d+, group \d+ cannot write to"):
        check_volume(layout_in(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_operator_ends_in_one_line_where_the_volume_is_another_users(tmp_path: Path) -> None:
    """And starts, as far as that goes, where it is its own."""
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(directory.stat().st_mode | 0o055)
    script = (
        "import os; from pathlib import Path; from tests.unit.test_volume import layout_in;"
        "from configbuild.cli.common import run_app; from configbuild.volume import check_volume;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        f"run_app(lambda prog_name: check_volume(layout_in(Path({str(tmp_path)!r}))))"
    )

    def look() -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", script]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    refused = look()
    tmp_path.chmod(0o777)

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "user 65534, group 65534 cannot write to" in refused.stderr
    assert "Permission denied" in refused.stderr
    assert "fsGroup" in refused.stderr
    assert look().returncode == 0


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Have every file be refused."""

    def touch(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "touch", touch)


def test_read_only_volume_ends_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EROFS)

    with pytest.raises(VolumeError, match="without readOnly"):
        check_volume(layout_in(tmp_path))


def test_full_volume_is_told_and_does_not_end_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(monkeypatch, errno.ENOSPC)

    check_volume(layout_in(tmp_path))

    assert f"{tmp_path / 'venvs'} is full" in caplog.text
