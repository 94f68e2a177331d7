"""Source trees on disk and in memory: one digest of what they hold, and copies of exactly that."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.archives import Limits, TreeFile
from configbuild.trees import DirectoryTree, MemoryTree, TreeError
from tests.unit.examples import DETERMINED

LIMITS = Limits(files=10, bytes=1000)
FILES = {
    "pyproject.toml": TreeFile(content=b"[project]\n"),
    "src/ade_config/__init__.py": TreeFile(content=b""),
    "src/ade_config/rules.json": TreeFile(content=b"\xff\x00"),
    "run": TreeFile(content=b"#!/bin/sh\n", executable=True),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that holds FILES."""
    MemoryTree(files=FILES).copy_to(tmp_path / "rules")
    return tmp_path / "rules"


def digest(files: dict[str, TreeFile]) -> str:
    return MemoryTree(files=files).digest


def content_of(directory: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(directory).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_copy_holds_exactly_the_files_with_their_modes(root: Path, tmp_path: Path) -> None:
    DirectoryTree.scan(root, LIMITS).copy_to(tmp_path / "deep" / "copy")

    assert content_of(tmp_path / "deep" / "copy") == {
        path: (file.content, file.executable) for path, file in FILES.items()
    }
    assert (tmp_path / "deep" / "copy" / "run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "deep" / "copy" / "pyproject.toml").stat().st_mode & 0o777 == 0o644


def test_tree_on_disk_and_in_memory_have_the_same_digest(root: Path) -> None:
    assert DirectoryTree.scan(root, LIMITS).digest == digest(FILES)


def test_digest_stays_the_same_from_version_to_version() -> None:
    # Another value here rebuilds every environment there is.
    assert digest(FILES) == "36bd101a91f05d3e9a410238145f8e143471d6a66d1c740e30118ef8b36be90a"


def test_copy_has_the_digest_of_its_origin(root: Path, tmp_path: Path) -> None:
    tree = DirectoryTree.scan(root, LIMITS)
    tree.copy_to(tmp_path / "copy")

    assert DirectoryTree.scan(tmp_path / "copy", LIMITS).digest == tree.digest


def test_where_a_tree_lies_does_not_count(root: Path) -> None:
    before = DirectoryTree.scan(root, LIMITS).digest
    moved = root.rename(root.with_name("moved"))

    assert DirectoryTree.scan(moved, LIMITS).digest == before


@pytest.mark.parametrize("name", [".git", ".hg", ".svn", "__pycache__"])
def test_what_tools_leave_beside_the_sources_does_not_count(root: Path, name: str) -> None:
    before = DirectoryTree.scan(root, LIMITS).digest
    for folder in (root, root / "src"):
        (folder / name).mkdir()
        (folder / name / "index").write_text("x")
        (folder / name / "link").symlink_to("index")

    assert DirectoryTree.scan(root, LIMITS).digest == before


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"a": TreeFile(content=b"2")}, id="content"),
        pytest.param({"a": TreeFile(content=b"1", executable=True)}, id="mode"),
        pytest.param({"b": TreeFile(content=b"1")}, id="path"),
        pytest.param({"x/a": TreeFile(content=b"1")}, id="folder"),
        pytest.param({"a": TreeFile(content=b"1"), "b": TreeFile(content=b"")}, id="more files"),
        pytest.param({}, id="no file"),
    ],
)
def test_digest_tells_trees_apart(other: dict[str, TreeFile]) -> None:
    assert digest(other) != digest({"a": TreeFile(content=b"1")})


CONTENTS = st.binary(max_size=4) | st.sampled_from([b"1 a-0 ", b"1 b-1 x"])
TREES = st.dictionaries(
    st.text("ab/-0 1", min_size=1, max_size=4),
    st.builds(TreeFile, content=CONTENTS, executable=st.booleans()),
    max_size=4,
)


@DETERMINED
@given(TREES, TREES)
def test_digests_are_equal_exactly_if_the_files_are(
    one: dict[str, TreeFile], other: dict[str, TreeFile]
) -> None:
    in_another_order = dict(reversed(one.items()))

    assert digest(in_another_order) == digest(one)
    assert (digest(one) == digest(other)) is (one == other)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        # The address of a socket is short; a temporary directory's path may not be.
        here = os.open(path.parent, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), id="link to a file"),
        pytest.param(lambda path: path.symlink_to("/etc"), id="link to a folder"),
        pytest.param(lambda path: path.symlink_to("pyproject.toml"), id="link within"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="link to nothing"),
        pytest.param(make_fifo, id="fifo"),
        pytest.param(make_socket, id="socket"),
    ],
)
def test_links_and_special_files_are_refused_by_name(
    root: Path, make: Callable[[Path], None]
) -> None:
    DirectoryTree.scan(root, LIMITS)
    make(root / "src" / "odd")

    with pytest.raises(TreeError, match="src/odd in the source tree rules") as caught:
        DirectoryTree.scan(root, LIMITS)

    assert caught.value.reason == "SourceInvalid"


def test_message_about_a_name_that_is_no_text_can_be_written_down(root: Path) -> None:
    (root / os.fsdecode(b"\xff")).symlink_to("x")

    with pytest.raises(TreeError) as caught:
        DirectoryTree.scan(root, LIMITS)

    assert caught.value.message.encode()


def test_name_that_is_no_text_is_copied_as_it_is(root: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.txt")
    (root / name).write_bytes(b"1")
    DirectoryTree.scan(root, LIMITS).copy_to(tmp_path / "copy")

    assert (tmp_path / "copy" / name).read_bytes() == b"1"


def test_file_of_any_size_is_read_whole(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    tree = MemoryTree(files={"data.bin": TreeFile(content=content)})
    tree.copy_to(tmp_path / "large")

    limits = Limits(files=1, bytes=len(content))
    assert DirectoryTree.scan(tmp_path / "large", limits).digest == tree.digest
    with pytest.raises(TreeError, match="the source tree is too large"):
        DirectoryTree.scan(tmp_path / "large", Limits(files=1, bytes=len(content) - 1))


def test_files_are_counted(root: Path) -> None:
    with pytest.raises(TreeError, match="more than 3 files"):
        DirectoryTree.scan(root, Limits(files=3, bytes=1000))


def test_bytes_are_counted_over_all_files(root: Path) -> None:
    size = sum(len(file.content) for file in FILES.values())

    assert DirectoryTree.scan(root, Limits(files=4, bytes=size))
    with pytest.raises(TreeError, match="the source tree is too large"):
        DirectoryTree.scan(root, Limits(files=4, bytes=size - 1))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "run").write_bytes(b"#!/bin/zsh"), id="edited"),
        pytest.param(lambda root: (root / "run").chmod(0o644), id="another mode"),
        pytest.param(lambda root: (root / "new").touch(), id="a file more"),
        pytest.param(lambda root: (root / "run").unlink(), id="a file less"),
        pytest.param(lambda root: (root / "run").rename(root / "walk"), id="renamed"),
        pytest.param(shutil.rmtree, id="gone as a whole"),
    ],
)
def test_tree_that_has_changed_is_not_copied(
    root: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    tree = DirectoryTree.scan(root, LIMITS)
    change(root)

    with pytest.raises(TreeError, match="the source tree rules changed") as caught:
        tree.copy_to(tmp_path / "copy")

    assert caught.value.reason == "SourceChanged"
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "link").symlink_to("/etc/passwd"), id="a link in it"),
        pytest.param(lambda root: (root / "run").write_bytes(bytes(2000)), id="too large"),
    ],
)
def test_tree_that_became_invalid_is_not_copied(
    root: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    tree = DirectoryTree.scan(root, LIMITS)
    change(root)

    with pytest.raises(TreeError):
        tree.copy_to(tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


def test_touched_tree_is_the_same_tree(root: Path, tmp_path: Path) -> None:
    tree = DirectoryTree.scan(root, LIMITS)
    os.utime(root / "run", (0, 0))
    tree.copy_to(tmp_path / "copy")

    assert len(content_of(tmp_path / "copy")) == len(FILES)


def test_copy_never_goes_into_what_is_there_already(root: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()

    with pytest.raises(FileExistsError):
        DirectoryTree.scan(root, LIMITS).copy_to(tmp_path / "copy")
