"""Caches stay within their limit: the one that was not used for longest goes first."""

from __future__ import annotations

import os
from pathlib import Path

from configbuild.caches import find_caches, hold, trim
from configbuild.layout import BuildPaths
from configbuild.model import ConfigKey
from tests.unit.examples import build_id, layout

KIB = 1024


def cache(path: Path, *, kib: int, used: int) -> Path:
    (path / "files").mkdir(parents=True)
    (path / "files" / "wheel").write_bytes(os.urandom(kib * KIB))
    os.utime(path, (used, used))
    return path


def build(root: Path, namespace: str, name: str) -> BuildPaths:
    return layout(root).build(ConfigKey(namespace, name), build_id())


def test_caches_are_those_of_namespaces_and_of_configs(tmp_path: Path) -> None:
    for path in ("team-a/uv", "team-a/configs/invoices", ".scratch/uv"):
        cache(tmp_path / path, kib=4, used=1)

    found = {
        str(each.path.relative_to(tmp_path)): each.size_bytes for each in find_caches(tmp_path)
    }

    assert found == {"team-a/uv": 4 * KIB, "team-a/configs/invoices": 4 * KIB}


def test_file_that_is_linked_often_counts_once(tmp_path: Path) -> None:
    path = cache(tmp_path / "team-a" / "uv", kib=8, used=1)
    os.link(path / "files" / "wheel", path / "files" / "link")

    assert [each.size_bytes for each in find_caches(tmp_path)] == [8 * KIB]


def test_least_recently_used_cache_goes_first_and_no_more_than_has_to(tmp_path: Path) -> None:
    old = cache(tmp_path / "team-a" / "configs" / "old", kib=64, used=1)
    older = cache(tmp_path / "team-b" / "uv", kib=64, used=0)
    new = cache(tmp_path / "team-a" / "uv", kib=64, used=2)

    assert trim(tmp_path, limit_bytes=192 * KIB) == []
    assert trim(tmp_path, limit_bytes=191 * KIB) == [older]
    assert trim(tmp_path, limit_bytes=64 * KIB) == [old]
    assert not older.exists()
    assert not old.exists()
    assert new.exists()


def test_cache_that_a_build_holds_stays_until_it_lets_go(tmp_path: Path) -> None:
    paths = build(tmp_path, "team-a", "invoices")
    cache(paths.caches.uv, kib=64, used=1)
    lock = hold(paths)

    assert trim(paths.cache.parent, limit_bytes=0) == []
    os.close(lock)
    removed = trim(paths.cache.parent, limit_bytes=0)

    assert paths.caches.uv in removed
    assert not paths.caches.uv.exists()


def test_build_makes_its_caches_and_counts_as_their_use(tmp_path: Path) -> None:
    paths = build(tmp_path, "team-a", "invoices")
    old = cache(paths.caches.uv, kib=4, used=1)
    other = cache(tmp_path / "cache" / "team-a" / "configs" / "other", kib=4, used=1)

    os.close(hold(paths))

    assert paths.own_caches.uv.is_dir()
    assert old.stat().st_mtime > 1
    assert other.stat().st_mtime == 1
