"""Archives in memory: every good one is read whole, and nothing of a bad one gets through."""

from __future__ import annotations

import gzip
import io
import stat
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from configbuild.archives import (
    ArchiveError,
    Limits,
    TreeFile,
    archive_files,
    clean_path,
    read_archive,
)
from tests.unit.examples import DETERMINED

# Name, content, and the mode of the whole entry (0: an archiver that keeps none).
Entry = tuple[str, bytes, int]

REGULAR = stat.S_IFREG | 0o644
PROGRAM = stat.S_IFREG | 0o755
LIMITS = Limits(files=10, bytes=100_000)

TREE: list[Entry] = [
    ("pyproject.toml", b"[project]\n", REGULAR),
    ("src/", b"", stat.S_IFDIR | 0o755),
    ("./src//ade_config/./__init__.py", b"", REGULAR),
    ("bin/run", b"#!/bin/sh\n", PROGRAM),
]


def zipped(entries: list[Entry], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def member(name: str, size: int = 0, mode: int = REGULAR, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, stat.S_IMODE(mode)
    info.type = tarfile.DIRTYPE if stat.S_ISDIR(mode) else tarfile.REGTYPE
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tarred(entries: list[Entry], compress: Callable[[bytes], bytes] = bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, mode in entries:
            archive.addfile(member(name, len(content), mode), io.BytesIO(content))
    return compress(buffer.getvalue())


def tar_of(info: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("first"))
        archive.addfile(info)
    return buffer.getvalue()


def compressed(entries: list[Entry], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open("x", mode, fileobj=buffer) as archive:  # type: ignore[call-overload]
        for name, content, entry_mode in entries:
            archive.addfile(member(name, len(content), entry_mode), io.BytesIO(content))
    return buffer.getvalue()


FORMATS: dict[str, Callable[[list[Entry]], bytes]] = {
    "zip": zipped,
    "zip without compression": lambda entries: zipped(entries, zipfile.ZIP_STORED),
    "tar": tarred,
    "tar.gz": lambda entries: compressed(entries, "w:gz"),
    "tar.bz2": lambda entries: compressed(entries, "w:bz2"),
    "tar.xz": lambda entries: compressed(entries, "w:xz"),
}
every_format = pytest.mark.parametrize("pack", FORMATS.values(), ids=FORMATS)


@every_format
def test_tree_is_read_with_its_modes_and_with_paths_in_normal_form(
    pack: Callable[[list[Entry]], bytes],
) -> None:
    assert read_archive(pack(TREE), LIMITS) == {
        "pyproject.toml": TreeFile(content=b"[project]\n"),
        "src/ade_config/__init__.py": TreeFile(content=b""),
        "bin/run": TreeFile(content=b"#!/bin/sh\n", executable=True),
    }


def test_tar_that_holds_a_zip_is_still_a_tar() -> None:
    inner = zipped([("inner", b"1", REGULAR)])

    assert set(read_archive(tarred([("book.xlsx", inner, REGULAR)]), LIMITS)) == {"book.xlsx"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../x", id="parent"),
        pytest.param("a/../../x", id="parent further in"),
        pytest.param("a/..", id="parent at its end"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("..\\x", id="backslash"),
        pytest.param(".", id="the tree itself"),
    ],
)
@every_format
def test_entry_that_leaves_the_tree_is_refused_by_name(
    pack: Callable[[list[Entry]], bytes], name: str
) -> None:
    with pytest.raises(ArchiveError) as caught:
        read_archive(pack([*TREE, (name, b"", REGULAR)]), LIMITS)

    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tar_of(member("l", type=tarfile.SYMTYPE, linkname="first")), id="tar symlink"),
        pytest.param(tar_of(member("l", type=tarfile.LNKTYPE, linkname="first")), id="tar link"),
        pytest.param(tar_of(member("l", type=tarfile.FIFOTYPE)), id="tar fifo"),
        pytest.param(tar_of(member("l", type=tarfile.CHRTYPE, devmajor=1)), id="tar device"),
        pytest.param(tar_of(member("l", type=tarfile.BLKTYPE, devmajor=1)), id="tar block device"),
        pytest.param(tar_of(member("l", type=b"Z")), id="tar entry of no known type"),
        pytest.param(zipped([("l", b"first", stat.S_IFLNK | 0o777)]), id="zip symlink"),
        pytest.param(zipped([("l", b"", stat.S_IFIFO | 0o644)]), id="zip fifo"),
        pytest.param(zipped([("l", b"", stat.S_IFCHR | 0o644)]), id="zip device"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError, match="'l' is neither a file nor a folder"):
        read_archive(data, LIMITS)


@every_format
def test_file_that_is_there_twice_is_refused(pack: Callable[[list[Entry]], bytes]) -> None:
    with pytest.raises(ArchiveError, match="'a/b' is in the archive twice"):
        read_archive(pack([("a/b", b"1", REGULAR), ("./a//b", b"2", REGULAR)]), LIMITS)


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a")])
@every_format
def test_file_in_the_place_of_a_folder_is_refused(
    pack: Callable[[list[Entry]], bytes], names: tuple[str, str]
) -> None:
    with pytest.raises(ArchiveError, match="'a'"):
        read_archive(pack([(name, b"", REGULAR) for name in names]), LIMITS)


@every_format
def test_files_are_counted(pack: Callable[[list[Entry]], bytes]) -> None:
    entries = [(f"f{number}", b"", REGULAR) for number in range(11)]

    assert len(read_archive(pack(entries[:10]), LIMITS)) == 10
    with pytest.raises(ArchiveError, match="more than 10 files"):
        read_archive(pack(entries), LIMITS)


@every_format
def test_folders_do_not_come_without_end(pack: Callable[[list[Entry]], bytes]) -> None:
    folders = [(f"d{number}/", b"", stat.S_IFDIR | 0o755) for number in range(1000)]

    with pytest.raises(ArchiveError, match="more than"):
        read_archive(pack(folders), LIMITS)


@every_format
def test_bytes_are_counted_over_all_files(pack: Callable[[list[Entry]], bytes]) -> None:
    files = [(name, bytes(50_000), REGULAR) for name in "ab"]

    assert len(read_archive(pack(files), LIMITS)) == 2
    with pytest.raises(ArchiveError, match=r"too large when unpacked \(at 'c'\)"):
        read_archive(pack([*files, ("c", b"x", REGULAR)]), LIMITS)


ROUGH = Limits(files=10, bytes=100 << 20, ratio=10)


@every_format
def test_archive_holds_so_many_times_its_size_and_no_more(
    pack: Callable[[list[Entry]], bytes],
) -> None:
    data = pack([("a", bytes(8 << 20), REGULAR)])
    if len(data) < (8 << 20) / ROUGH.ratio:
        with pytest.raises(ArchiveError, match=r"too large when unpacked \(at 'a'\)"):
            read_archive(data, ROUGH)
    assert len(read_archive(data, replace(ROUGH, ratio=1_000_000))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Rules.py", "rules.py", id="case"),
        pytest.param("r\u00e4.py", "ra\u0308.py", id="two forms of an umlaut"),
        pytest.param("stra\u00dfe", "strasse", id="sharp s"),
    ],
)
@every_format
def test_names_that_a_file_system_may_take_for_one_are_refused(
    pack: Callable[[list[Entry]], bytes], one: str, other: str
) -> None:
    with pytest.raises(ArchiveError, match="is in the archive twice"):
        read_archive(pack([(one, b"1", REGULAR), (other, b"2", REGULAR)]), LIMITS)


@every_format
def test_file_in_the_place_of_a_folder_is_refused_in_any_case(
    pack: Callable[[list[Entry]], bytes],
) -> None:
    with pytest.raises(ArchiveError, match="'a'"):
        read_archive(pack([("A", b"", REGULAR), ("a/b", b"", REGULAR)]), LIMITS)


def below(data: bytes, folder: str, limits: Limits = LIMITS) -> dict[str, bytes]:
    files = archive_files(io.BytesIO(data), limits, below=folder)
    return {path: file.content for path, file in files}


@every_format
def test_files_of_one_folder_are_taken_by_their_paths_in_it(
    pack: Callable[[list[Entry]], bytes],
) -> None:
    names = ("top", "rules-1/a", "rules-1/src/b", "rules-10/c", "rules-1.txt")
    data = pack([(name, name.encode(), REGULAR) for name in names])

    assert below(data, "rules-1") == {"a": b"rules-1/a", "src/b": b"rules-1/src/b"}
    assert below(data, "rules-1/src") == {"b": b"rules-1/src/b"}
    assert below(data, "absent") == {}


def test_link_beside_the_wanted_folder_is_passed_over() -> None:
    data = tar_of(member("docs", type=tarfile.SYMTYPE, linkname="/etc"))

    assert below(data, "rules") == {}
    with pytest.raises(ArchiveError, match="'docs' is neither"):
        below(data, ".")


@every_format
def test_what_leaves_the_tree_is_refused_beside_the_wanted_folder_too(
    pack: Callable[[list[Entry]], bytes],
) -> None:
    with pytest.raises(ArchiveError, match="leaves the source tree"):
        below(pack([("rules/../../x", b"", REGULAR)]), "rules")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_what_is_passed_over_in_a_tar_is_counted_since_it_is_unpacked(mode: str) -> None:
    data = compressed([("beside", bytes(60_000), REGULAR)] * 2, mode)

    with pytest.raises(ArchiveError, match="too large when unpacked"):
        below(data, "rules")


def test_what_is_passed_over_in_a_zip_costs_nothing() -> None:
    data = zipped([(f"beside{number}", bytes(60_000), REGULAR) for number in range(2)])

    assert below(data, "rules") == {}


@every_format
def test_name_that_cannot_be_written_is_refused(pack: Callable[[list[Entry]], bytes]) -> None:
    assert read_archive(pack([("ä" * 127, b"", REGULAR)]), LIMITS)
    with pytest.raises(ArchiveError, match="longer than 255 bytes"):
        read_archive(pack([("ä" * 128, b"", REGULAR)]), LIMITS)


def test_zstandard_is_read_where_the_standard_library_can() -> None:
    # An empty frame (RFC 8878): no tar in it, but there is something to be told from.
    frame = bytes.fromhex("28b52ffd2000010000")
    can = sys.version_info >= (3, 14)

    with pytest.raises(ArchiveError, match="not a readable" if can else "Zstandard"):
        read_archive(frame, LIMITS)


BOMB = 16 << 20


def header_bomb() -> bytes:
    """A long header that belongs to a file of nothing."""
    return gzip.compress(tar_of(member("a", pax_headers={"comment": "x" * BOMB})), 1)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(lambda: zipped([("a", bytes(BOMB), REGULAR)]), id="zip"),
        pytest.param(
            lambda: zipped([("a", bytes(BOMB), REGULAR)], zipfile.ZIP_BZIP2), id="bzip2 in a zip"
        ),
        pytest.param(
            lambda: zipped([("a", bytes(BOMB), REGULAR)], zipfile.ZIP_LZMA), id="LZMA in a zip"
        ),
        pytest.param(lambda: compressed([("a", bytes(BOMB), REGULAR)], "w:gz"), id="tar.gz"),
        pytest.param(lambda: compressed([("a", bytes(BOMB), REGULAR)], "w:bz2"), id="tar.bz2"),
        pytest.param(header_bomb, id="header of a tar.gz"),
    ],
)
def test_bomb_is_refused_before_it_fills_the_memory(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    assert len(data) < BOMB / 100
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError):
            read_archive(data, LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < BOMB / 4


def test_header_is_refused_before_tarfile_searches_it() -> None:
    """Older Pythons take the square of its length for digits, and hold every thread meanwhile.

    Source: CVE-2024-6232. No path that is allowed needs a header of even 8 KiB.
    """
    assert read_archive(tar_of(member("/".join(["x" * 99] * 20))), LIMITS)
    with pytest.raises(ArchiveError, match="header"):
        read_archive(tar_of(member("a", pax_headers={"comment": "0" * 20_000})), LIMITS)


def encrypted() -> bytes:
    data = bytearray(zipped([("a", b"secret", REGULAR)]))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no archive at all", id="text"),
        pytest.param(gzip.compress(b"no tar"), id="gzip of something else"),
        pytest.param(zipped(TREE)[:-30], id="zip without its end"),
        pytest.param(tarred([("a", bytes(5000), REGULAR)])[:2000], id="tar cut off within a file"),
        pytest.param(compressed([("a", bytes(5000), REGULAR)], "w:gz")[:60], id="tar.gz cut off"),
        pytest.param(encrypted(), id="encrypted zip"),
        pytest.param(
            zipped([("ä", b"", REGULAR)]).replace("ä".encode(), b"\xff\xff"),
            id="zip with a name that is not UTF-8",
        ),
        pytest.param(
            zipped([("name", b"", REGULAR)]).replace(b"name", b"\0ame"),
            id="zip with a name of nothing",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_archive(data, LIMITS)


PACKED = [pack([("a", bytes(range(256)) * 8, REGULAR), *TREE[:2]]) for pack in FORMATS.values()]


@DETERMINED
@given(
    st.sampled_from(PACKED),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=3),
    st.floats(0, 1),
)
def test_damaged_archive_is_read_or_refused_and_nothing_else(
    packed: bytes, flips: list[tuple[float, int]], kept: float
) -> None:
    damaged = bytearray(packed)
    for place, bits in flips:
        damaged[int(place * len(packed))] ^= bits
    if not flips:
        del damaged[int(kept * len(packed)) :]
    try:
        files = read_archive(bytes(damaged), LIMITS)
    except ArchiveError:
        return
    assert all(clean_path(path) == path for path in files)


PATHS = st.lists(st.sampled_from(["..", ".", "", "a", "...", "..b", "\\", "\0", "ä"]), max_size=5)


@DETERMINED
@given(PATHS.map("/".join) | st.text(max_size=8))
def test_clean_path_never_leaves_the_tree(path: str) -> None:
    try:
        clean = clean_path(path)
    except ArchiveError:
        return

    parts = clean.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert "\\" not in clean
    assert "\0" not in clean
    assert clean_path(clean) == clean
    assume("/" in path)
    assert parts == [part for part in path.split("/") if part not in ("", ".")]
