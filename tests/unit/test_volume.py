"""A volume that cannot be written to, as it is found at start and later."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from configbuild.layout import Layout
from configbuild.notices import Notices
from configbuild.volume import VolumeError, check_volume, is_writable, troubles, watch_volume


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


# Run in a mount namespace of its own, which takes the file system with it.
_ON_A_DISK = """\
set -e
mount -t tmpfs -o size=2m,nr_inodes=20 none "$0"
cd "$0"
mkdir venvs logs cache
"""
_TELL = (
    "import sys; from pathlib import Path; from tests.unit.test_volume import layout_in;"
    "from configbuild.volume import is_writable, troubles;"
    "print(dict(troubles(layout_in(Path(sys.argv[1]))))['ADE_LOGS_DIR'],"
    " is_writable(Path(sys.argv[1]) / 'logs'))"
)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("true", "None True"),
        ("head -c 1500000 /dev/zero > file", "ADE_LOGS_DIR: {}/logs is full: .* True"),
        ("touch $(seq 30) || true", "ADE_LOGS_DIR: {}/logs is full: .* True"),
        ('mount -o remount,ro "$0"', "ADE_LOGS_DIR: .* cannot write .*without readOnly False"),
        ("rmdir logs", "ADE_LOGS_DIR: {}/logs cannot be reached .* False"),
    ],
    ids=["as it should be", "no bytes", "no inodes", "read-only", "gone"],
)
def test_trouble_is_told_as_the_file_system_has_it(tmp_path: Path, what: str, told: str) -> None:
    script = f'{_ON_A_DISK}{what}\ncd "$1"\nexec "$2" -c "$3" "$0"'
    argv = [
        *("unshare", "--map-root-user", "--mount", "sh", "-c", script),
        *(str(tmp_path), str(Path(__file__).parents[2]), sys.executable, _TELL),
    ]

    answer = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stderr
    assert re.fullmatch(told.format(re.escape(str(tmp_path))), answer.stdout.strip())


def test_directory_that_goes_while_the_operator_runs_is_warned_of_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    layout, notices = layout_in(tmp_path), Notices()
    check_volume(layout)

    async def until(*settings: str) -> None:
        while [text.partition(":")[0] for text in notices.texts()] != list(settings):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)

    async def main() -> None:
        watching = asyncio.create_task(watch_volume(layout, notices, interval_s=0))
        layout.logs.rmdir()
        await until("ADE_LOGS_DIR")
        layout.logs.mkdir()
        await until()
        watching.cancel()

    asyncio.run(main())

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert dict(troubles(layout))["ADE_LOGS_DIR"] is None
    assert is_writable(layout.logs)
