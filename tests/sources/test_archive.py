"""Archives over real TLS: found, redirected, refused; and what of them becomes a tree."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from configbuild.archives import Limits
from configbuild.errors import SourceError
from configbuild.model import ArchiveSource
from configbuild.sources import HostRules, Ran, Workplace
from configbuild.sources.archive import ArchiveTree
from configbuild.urls import parse_patterns
from tests.packages import package_files
from tests.sources.site import Site, serving

FILES = {f"rules-1/{path}": text for path, text in package_files("ade-config").items()}


def tar_gz(files: dict[str, str], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for info in more:
            archive.addfile(info)
    return buffer.getvalue()


def zip_of(files: dict[str, str], mode: int = stat.S_IFREG | 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            info = zipfile.ZipInfo(path)
            info.external_attr = mode << 16
            archive.writestr(info, text)
    return buffer.getvalue()


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tree_of(
    site: Site,
    data: bytes,
    *,
    path: str = "/rules.tar.gz",
    folder: str = "rules-1",
    sha256: str | None = None,
    allowed: str | None = None,
    limits: Limits | None = None,
) -> ArchiveTree:
    """Serve an archive, and declare it."""
    site.files.setdefault(path, data)
    patterns = parse_patterns(site.authority if allowed is None else allowed)
    return ArchiveTree(
        source=ArchiveSource(
            url=site.url(path),
            sha256=sha256 or hashlib.sha256(data).hexdigest(),
            path=folder,
        ),
        hosts=HostRules(allowed=patterns),
        limits=limits or Limits(),
    )


def fetch(tree: ArchiveTree, directory: Path) -> dict[str, str]:
    """Fetch a tree, and read what is there then."""

    async def run(*_: object, **__: object) -> Ran:
        raise AssertionError("no program is needed for an archive")

    scratch = directory / "scratch"
    scratch.mkdir()
    target = directory / "tree"
    place = Workplace(tree=target, scratch=scratch, run=run, say=lambda line: None)
    asyncio.run(tree.fetch(place))
    return {
        found.relative_to(target).as_posix(): found.read_text()
        for found in target.rglob("*")
        if found.is_file()
    }


@pytest.mark.parametrize("pack", [tar_gz, zip_of])
def test_declared_folder_of_an_archive_becomes_the_tree(
    site: Site, tmp_path: Path, pack: Callable[[dict[str, str]], bytes]
) -> None:
    tree = tree_of(site, pack({**FILES, "other/x": "beside"}))

    assert fetch(tree, tmp_path) == package_files("ade-config")
    assert [request.path for request in site.requests] == ["/rules.tar.gz"]


def test_archive_of_another_checksum_is_never_unpacked(site: Site, tmp_path: Path) -> None:
    tree = tree_of(site, tar_gz(FILES), sha256="0" * 64)

    with pytest.raises(SourceError, match="has another SHA-256") as caught:
        fetch(tree, tmp_path)

    assert (caught.value.reason, caught.value.field) == (
        "ChecksumMismatch",
        "spec.config.archive.sha256",
    )
    assert not (tmp_path / "tree").exists()


def test_server_that_packs_on_the_way_changes_no_checksum(site: Site, tmp_path: Path) -> None:
    """What is hashed are the bytes that were sent, not what some layer made of them."""
    tree = tree_of(site, gzip.compress(zip_of(FILES)))

    with pytest.raises(SourceError, match="not a readable"):
        fetch(tree, tmp_path)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("/moved", id="a path"),
        pytest.param("//{authority}/moved", id="another host without a scheme"),
        pytest.param("https://{authority}/moved", id="a whole URL"),
    ],
)
def test_redirect_is_followed_to_where_it_may_lead(
    site: Site, tmp_path: Path, location: str
) -> None:
    data = tar_gz(FILES)
    site.files["/moved"] = data
    site.redirects["/rules.tar.gz"] = location.format(authority=site.authority)

    assert fetch(tree_of(site, data), tmp_path) == package_files("ade-config")
    assert [request.path for request in site.requests] == ["/rules.tar.gz", "/moved"]


@pytest.mark.parametrize("address", ["127.0.0.2", "127.0.0.3"])
def test_redirect_to_what_is_not_public_is_refused_and_let_through_where_settings_say_so(
    site: Site, tmp_path: Path, address: str
) -> None:
    data = tar_gz(FILES)
    with serving(tmp_path / "inner", address=address) as inner:
        inner.files["/secret"] = data
        site.redirects["/rules.tar.gz"] = inner.url("/secret")
        with site.ca.open("ab") as trusted:
            trusted.write(inner.ca.read_bytes())
        (tmp_path / "refused").mkdir()

        with pytest.raises(SourceError, match="does not resolve to public") as caught:
            fetch(tree_of(site, data), tmp_path / "refused")

        assert caught.value.reason == "HostNotAllowed"
        assert inner.requests == []

        allowed = f"{site.authority},{inner.authority}"
        assert fetch(tree_of(site, data, allowed=allowed), tmp_path)
        assert [request.path for request in inner.requests] == ["/secret"]


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("https://169.254.169.254/latest/meta-data/", id="metadata service"),
        pytest.param("https://[fe80::1]/", id="link-local"),
        pytest.param("https://10.0.0.1/", id="private"),
        pytest.param("https://[::ffff:127.0.0.1]/", id="mapped loopback"),
        pytest.param("https://0x7f.1:{port}/x", id="loopback in other digits"),
        pytest.param("http://127.0.0.1:{port}/x", id="plain HTTP"),
        pytest.param("https://localhost:{port}/x", id="another name of an allowed address"),
        pytest.param("https://user@127.0.0.1:{port}/x", id="user name"),
        pytest.param("https://127.0.0.1:{port}\\@10.0.0.1/", id="backslash"),
        pytest.param("file:///etc/passwd", id="file"),
    ],
)
def test_redirect_elsewhere_is_refused(site: Site, tmp_path: Path, location: str) -> None:
    site.redirects["/rules.tar.gz"] = location.format(port=site.port)

    with pytest.raises(SourceError) as caught:
        fetch(tree_of(site, b""), tmp_path)

    assert caught.value.reason == "HostNotAllowed"
    assert len(site.requests) == 1


def test_redirects_come_to_an_end(site: Site, tmp_path: Path) -> None:
    site.redirects["/rules.tar.gz"] = "/rules.tar.gz"

    with pytest.raises(SourceError, match="redirects more than 5 times") as caught:
        fetch(tree_of(site, b""), tmp_path)

    assert caught.value.reason == "SourceNotFound"
    assert len(site.requests) == 6


def test_name_that_resolves_to_something_else_later_is_fetched_from_where_it_was_checked(
    site: Site, tmp_path: Path
) -> None:
    data = tar_gz(FILES)
    asked = []

    async def changing(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with serving(tmp_path / "inner", address="127.0.0.2", port=site.port) as inner:
        tree = tree_of(site, data)
        named = replace(tree.source, url=site.url("/rules.tar.gz", host="files.test"))
        patterns = parse_patterns(f"files.test:{site.port}")
        hosts = HostRules(allowed=patterns, look_up=changing)

        assert fetch(replace(tree, source=named, hosts=hosts), tmp_path)

        assert asked == ["files.test"]
        assert inner.requests == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "SourceNotFound"),
        (410, "SourceNotFound"),
        (403, "SourceDenied"),
        (401, "SourceDenied"),
        (429, "SourceUnavailable"),
        (503, "SourceUnavailable"),
        (204, "SourceNotFound"),
    ],
)
def test_answer_says_whether_another_try_may_help(
    site: Site, tmp_path: Path, status: int, reason: str
) -> None:
    site.statuses["/rules.tar.gz"] = status

    with pytest.raises(SourceError, match=f"answered {status}") as caught:
        fetch(tree_of(site, b""), tmp_path)

    assert caught.value.reason == reason


def test_certificate_that_nobody_vouches_for_ends_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(SourceError, match="certificate is not trusted"):
        fetch(tree_of(site, tar_gz(FILES)), tmp_path)

    assert site.requests == []


def test_download_is_cut_at_the_limit(site: Site, tmp_path: Path) -> None:
    limits = Limits(bytes=1 << 20)

    with pytest.raises(SourceError, match=r"larger than 1048576 bytes \(ADE_SOURCE_MAX_BYTES\)"):
        fetch(tree_of(site, bytes(8 << 20), limits=limits), tmp_path)

    assert (tmp_path / "scratch" / "archive").stat().st_size <= limits.bytes


HOSTILE = {
    "symlink out": tar_gz(FILES, entry("rules-1/x", tarfile.SYMTYPE, "../../../../etc/passwd")),
    "symlink to the root": tar_gz(FILES, entry("rules-1/x", tarfile.SYMTYPE, "/")),
    "symlink within": tar_gz(FILES, entry("rules-1/x", tarfile.SYMTYPE, "pyproject.toml")),
    "hard link out": tar_gz(FILES, entry("rules-1/x", tarfile.LNKTYPE, "../../etc/passwd")),
    "hard link within": tar_gz(FILES, entry("rules-1/x", tarfile.LNKTYPE, "rules-1/backend.py")),
    "device": tar_gz(FILES, entry("rules-1/x", tarfile.CHRTYPE)),
    "fifo": tar_gz(FILES, entry("rules-1/x", tarfile.FIFOTYPE)),
    "parent": tar_gz({**FILES, "../x": ""}),
    "parent within": tar_gz({**FILES, "rules-1/../../x": ""}),
    "absolute": tar_gz({**FILES, "/tmp/x": ""}),
    "backslashes": tar_gz({**FILES, "rules-1\\..\\..\\x": ""}),
    "file twice": tar_gz({**FILES, "rules-1/./backend.py": ""}),
    "other case": tar_gz({**FILES, "rules-1/BACKEND.py": ""}),
    "other form": tar_gz({**FILES, "rules-1/\u00e4": "", "rules-1/a\u0308": ""}),
    "file and folder": tar_gz({**FILES, "rules-1/backend.py/x": ""}),
    "zip symlink": zip_of({"rules-1/x": "/etc/passwd"}, stat.S_IFLNK | 0o777),
    "zip parent": zip_of({"../x": ""}),
    "zip bomb": zip_of({"rules-1/x": "0" * (8 << 20)}),
    "tar bomb": tar_gz({"rules-1/x": "0" * (8 << 20)}),
    "too many files": tar_gz({f"rules-1/{number}": "" for number in range(31)}),
    "too many folders": tar_gz(
        {}, *[entry(f"rules-1/{number}", tarfile.DIRTYPE) for number in range(61)]
    ),
    "no archive": b"<html>",
    "nothing": b"",
    "no such folder": tar_gz({"rules-2/x": ""}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archive_is_refused_and_leaves_nothing_outside_its_tree(
    site: Site, tmp_path: Path, data: bytes
) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if "site" not in path.parts}

    with pytest.raises(SourceError) as caught:
        fetch(tree_of(site, data, limits=Limits(files=30, bytes=4 << 20)), inside)

    assert caught.value.reason == "SourceInvalid"
    after = {path for path in tmp_path.rglob("*") if "site" not in path.parts}
    assert {path.relative_to(inside).parts[0] for path in after - before} <= {"scratch", "tree"}
    assert [path for path in after if path.is_symlink()] == []


def test_mirror_of_an_archive_is_the_same_source(site: Site) -> None:
    tree = tree_of(site, tar_gz(FILES))
    mirror = replace(tree, source=replace(tree.source, url="https://mirror.test/x"))
    other = replace(tree, source=replace(tree.source, sha256="0" * 64))
    elsewhere = replace(tree, source=replace(tree.source, path="src"))

    assert mirror.digest == tree.digest
    assert len({tree.digest, other.digest, elsewhere.digest}) == 3
