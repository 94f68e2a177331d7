"""Files that are whole or not there, directories that go whatever is in them, and one lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from configbuild.files import file_lock, remove_tree, write_whole

# Root may do anything, which would hide every fault of permissions: the acts run as nobody then.
# The directory's path leads through folders that nobody may not enter, so it is the working one.
AS_NOBODY = """
import os, shutil, sys
from pathlib import Path
from configbuild.files import remove_tree

def make(tree, modes):
    folders = [tree / "a", tree / "a" / "b", tree / "a" / "b" / "c"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "file").touch()
    for folder, mode in reversed(list(zip(folders, modes.split("/"), strict=True))):
        folder.chmod(int(mode, 8))

os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.chown(".", 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
make(Path("plain"), sys.argv[2])
try:
    shutil.rmtree("plain")
except PermissionError:
    print("rmtree could not")
make(Path("venv"), sys.argv[2])
remove_tree(Path("venv"))
print("venv is there" if os.path.lexists("venv") else "venv is gone")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_written_file_holds_the_text_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "build.json", "ä\n")

    assert (tmp_path / "build.json").read_bytes() == "ä\n".encode()
    assert names(tmp_path) == ["build.json"]


def test_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    write_whole(tmp_path / "build.json", "before")

    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "build.json", "x" * 100_000 + "\udcff")

    assert (tmp_path / "build.json").read_text() == "before"


def test_another_file_takes_the_place_of_the_one_before_at_once(tmp_path: Path) -> None:
    file = tmp_path / "build.json"
    write_whole(file, "before")
    with file.open() as reader:
        write_whole(file, "after")

        assert reader.read() == "before"
    assert file.read_text() == "after"


def test_tree_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    tree = tmp_path / "venv"
    (tree / "lib" / "a").mkdir(parents=True)
    (tree / "lib" / "a" / "file").touch()
    os.mkfifo(tree / "fifo")

    remove_tree(tree)

    assert names(tmp_path) == []


def test_what_links_in_a_tree_lead_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    (kept / "file").touch()
    tree = tmp_path / "venv"
    tree.mkdir()
    (tree / "folder").symlink_to(kept)
    (tree / "file").symlink_to(kept / "file")

    remove_tree(tree)

    assert names(tmp_path) == ["kept"]
    assert names(kept) == ["file"]


def test_tree_that_is_not_there_is_well(tmp_path: Path) -> None:
    remove_tree(tmp_path / "venv")

    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "modes",
    [
        pytest.param("755/755/555", id="read-only within"),
        pytest.param("555/555/555", id="read-only all through"),
        pytest.param("755/755/000", id="closed within"),
        pytest.param("755/000/755", id="closed in the middle"),
        pytest.param("000/000/000", id="closed all through"),
        pytest.param("333/333/333", id="not to be listed"),
    ],
)
def test_tree_is_removed_whatever_a_build_made_of_its_modes(tmp_path: Path, modes: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, tmp_path, modes],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.stdout == "rmtree could not\nvenv is gone\n", done.stderr


class BusyError(Exception):
    """Somebody else holds the lock."""


def refuse() -> None:
    raise BusyError


def test_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "made" / "lock"

    with file_lock(lock, busy=refuse), pytest.raises(BusyError), file_lock(lock, busy=refuse):
        pytest.fail("two hold it")

    with file_lock(lock, busy=refuse):
        pass


def test_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from configbuild.files import file_lock\n"
        "with file_lock(Path(sys.argv[1]), busy=sys.exit):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "lock"],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError), file_lock(tmp_path / "lock", busy=refuse):
            pytest.fail("two hold it")
        waited = []

        def kill() -> None:
            waited.append(True)
            holder.kill()

        with file_lock(tmp_path / "lock", busy=kill):
            assert waited == [True]
