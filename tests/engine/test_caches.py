"""What builds leave for later ones, and that none can reach what others take from there."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configbuild.model import BuildId, BuildStatus, ConfigKey, Trigger
from tests.engine.support import KEY, Bench, add_what_pip_upgrades, wheel_of
from tests.packages import write_package
from tests.process.support import in_loop

NEIGHBOUR = ConfigKey(KEY.namespace, "wages")
COMPILED = "Bytecode compiled 1 files of build tools, for this build and later ones"
KEPT = "Using the wheel that an earlier build made of the same source tree"


@in_loop
async def test_unchanged_engine_is_not_built_again_when_the_config_changes(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    first = await bench.attempt()
    await first.run()
    write_package(bench.sources / "config", "ade-config", module_source="EDITED = 1\n")
    second = await bench.attempt()
    outcome = await second.run()
    assert outcome.status is BuildStatus.ACTIVE, outcome.message
    assert bench.output(first).count(KEPT) == 0
    assert bench.output(second).count(KEPT) == 1
    installed = bench.paths(second).site_packages(second.request.tools.interpreter.minor)
    assert (installed / "ade_config" / "__init__.py").read_text() == "EDITED = 1\n"


@in_loop
async def test_bytecode_of_the_last_venv_is_taken_unless_all_is_to_be_anew(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    told = []
    for edit, trigger in enumerate(
        [Trigger.INITIAL, Trigger.SOURCE_CHANGED, Trigger.FORCED, Trigger.EXPIRED]
    ):
        write_package(bench.sources / "config", "ade-config", module_source=f"EDITED = {edit}\n")
        attempt = await bench.attempt(trigger=trigger)
        outcome = await attempt.run()
        assert outcome.status is BuildStatus.ACTIVE, outcome.message
        told += [line for line in bench.output(attempt) if line.startswith("Bytecode")]
    # The config was edited, the engine was not.
    assert [line[: line.index(" were")] for line in told] == [
        "Bytecode compiled 2 files; 0",
        "Bytecode compiled 1 files; 1",
        "Bytecode compiled 2 files; 0",
        "Bytecode compiled 2 files; 0",
    ]


@in_loop
async def test_code_of_a_package_changes_no_bytecode_that_is_kept(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    kept = bench.workshop.layout.build(KEY, BuildId.new()).kept_bytecode
    await (await bench.attempt()).run()
    assert list(kept.glob("last/*")), "nothing is kept, so nothing is shown"
    poison = (
        f"import os\n"
        f"for folder, _, names in os.walk({str(kept)!r}):\n"
        f"    for name in names:\n"
        f"        try: open(os.path.join(folder, name), 'ab').write(b'poison')\n"
        f"        except OSError: pass"
    )
    told = {}
    for sandbox in (True, False):
        bench = replace(bench, workshop=replace(bench.workshop, sandbox=sandbox))
        write_package(
            bench.sources / "config",
            "ade-config",
            module_source=f"{poison}\nSANDBOX = {sandbox}\n",
            while_building=poison,
        )
        outcome = await (await bench.attempt()).run()
        assert outcome.status is BuildStatus.ACTIVE, outcome.message
        told[sandbox] = [
            path for path in kept.glob("last/*") if b"poison" in path.read_bytes()[-6:]
        ]
    assert told[True] == []
    assert told[False]


@in_loop
async def test_build_tools_are_compiled_once_for_all_builds(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    house = tmp_path / "house"
    house.mkdir()
    wheel_of(write_package(tmp_path / "tool", "ade-tool"), house, "ade-tool")
    told = [await _tool_of_a_build(bench, house, edit=number) for number in range(3)]
    # At first there is nothing to be compiled; then it is, before it is used.
    assert told == [
        ["ade_tool is read from its source"],
        [COMPILED, "ade_tool is read from bytecode"],
        ["ade_tool is read from bytecode"],
    ]


@in_loop
async def test_wheel_is_built_though_its_tools_cannot_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await Bench.at(tmp_path)
    house = tmp_path / "house"
    house.mkdir()
    wheel_of(write_package(tmp_path / "tool", "ade-tool"), house, "ade-tool")
    missing = str(tmp_path / "no-such-program.py")
    monkeypatch.setattr("configbuild.installers.COMPILE_TOOLS", Path(missing))
    told = [await _tool_of_a_build(bench, house, edit=number, also=missing) for number in range(3)]
    source = "ade_tool is read from its source"
    # It is tried once, since it would fail again.
    assert [len(lines) for lines in told] == [1, 2, 1]
    assert [lines[-1] for lines in told] == [source] * 3


@pytest.mark.parametrize(
    ("key", "trigger"),
    [
        pytest.param(KEY, Trigger.FORCED, id="forced"),
        pytest.param(KEY, Trigger.EXPIRED, id="expired"),
        pytest.param(NEIGHBOUR, Trigger.INITIAL, id="of another config"),
    ],
)
@in_loop
async def test_build_that_takes_no_kept_wheel(
    tmp_path: Path, key: ConfigKey, trigger: Trigger
) -> None:
    bench = await Bench.at(tmp_path)
    await (await bench.attempt()).run()
    again = await bench.attempt(key=key, trigger=trigger)
    outcome = await again.run()
    assert outcome.status is BuildStatus.ACTIVE, outcome.message
    assert KEPT not in bench.output(again)


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_package_without_a_wheel_is_built_and_installed(tmp_path: Path, installer: str) -> None:
    # pip takes its time, so this has none set.
    asyncio.run(_build_without_a_wheel(tmp_path, installer))


async def _build_without_a_wheel(tmp_path: Path, installer: str) -> None:
    bench = await Bench.at(tmp_path)
    house = _sdist_of(write_package(tmp_path / "dependency", "ade-config"), tmp_path / "house")
    attempt = await bench.attempt(
        config={"requirement": "ade-config==1.0.0"}, install={"installer": installer}
    )
    tools = replace(attempt.request.tools, wheelhouse=house)
    if installer == "pip":
        add_what_pip_upgrades(house, tmp_path / "packages")
    attempt.request = replace(attempt.request, tools=tools)
    outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(bench.output(attempt))
    for name in ("ade_engine", "ade_config"):
        module = _module(attempt.request.paths.venv, name)
        assert module.stat().st_nlink == 1, "a link into a cache, where code of packages could run"


@in_loop
async def test_package_without_a_wheel_is_refused_where_the_spec_wants_wheels_only(
    tmp_path: Path,
) -> None:
    bench = await Bench.at(tmp_path)
    house = _sdist_of(write_package(tmp_path / "dependency", "ade-config"), tmp_path / "house")
    wheel_of(bench.sources / "engine", house, "ade-engine")
    attempt = await bench.attempt(
        engine={"requirement": "ade-engine"},
        config={"requirement": "ade-config==1.0.0"},
        install={"onlyBinary": True},
    )
    tools = replace(attempt.request.tools, wheelhouse=house)
    attempt.request = replace(attempt.request, tools=tools)
    outcome = await attempt.run()
    assert (outcome.status, outcome.reason) == (BuildStatus.FAILED, "NoWheel")


@in_loop
async def test_hostile_packages_change_no_venv_but_their_own(tmp_path: Path) -> None:
    bench = await Bench.at(tmp_path)
    house = tmp_path / "house"
    house.mkdir()
    wheel_of(write_package(tmp_path / "shared", "ade-engine"), house, "ade-engine")
    shared: dict[str, Any] = {"engine": {"requirement": "ade-engine"}}
    marker = bench.workshop.layout.cache / KEY.namespace / "uv" / "was-here"
    poison = (
        "import os, sys; [open(p, 'a').write('#poisoned') for d, _, f in os.walk(sys.prefix)"
        " for n in f for p in [os.path.join(d, n)] if os.stat(p).st_nlink > 1];"
        f" open({str(marker)!r}, 'w')"
    )
    _with_start_up_code(
        write_package(
            bench.sources / "config",
            "ade-config",
            while_building=f"try: open({str(marker)!r}, 'w')\nexcept OSError: pass",
        ),
        poison,
    )
    write_package(bench.sources / "plain", "ade-config")

    before = await _build(bench, house, NEIGHBOUR, config={"path": "plain"}, **shared)
    linked = _module(before, "ade_engine")
    assert linked.stat().st_nlink > 1, "nothing is shared, so nothing is shown"
    digest = _digest(before)
    hostile = await _build(bench, house, KEY, **shared)
    assert list(hostile.rglob("hostile.pth")), "the hostile package was not installed"
    again = await _build(bench, house, KEY, trigger=Trigger.FORCED, **shared)
    assert again != hostile
    after = await _build(
        bench, house, NEIGHBOUR, trigger=Trigger.FORCED, config={"path": "plain"}, **shared
    )

    assert not marker.exists()
    assert _digest(before) == digest
    assert _module(after, "ade_engine").read_bytes() == linked.read_bytes() == b""

    bench = replace(bench, workshop=replace(bench.workshop, sandbox=False))
    await _build(bench, house, KEY, trigger=Trigger.FORCED, **shared)
    assert marker.exists()
    assert linked.read_text().startswith("#poisoned")


async def _tool_of_a_build(
    bench: Bench, house: Path, *, edit: int, also: str = COMPILED
) -> list[str]:
    """Build an edited config by a back end that uses a tool; what is told of that tool."""
    config = write_package(
        bench.sources / "config",
        "ade-config",
        module_source=f"EDITED = {edit}\n",
        while_building=(
            "import importlib.util, os\n"
            "cached = importlib.util.find_spec('ade_tool').cached\n"
            "before = os.path.lexists(cached) and os.lstat(cached).st_ino\n"
            "import ade_tool\n"
            # What is not valid is written anew.
            "same = before == os.lstat(cached).st_ino\n"
            "print('ade_tool is read from', 'bytecode' if same else 'its source')"
        ),
    )
    project = config / "pyproject.toml"
    project.write_text(project.read_text().replace("requires = []", 'requires = ["ade-tool"]'))
    attempt = await bench.attempt()
    tools = replace(attempt.request.tools, wheelhouse=house)
    attempt.request = replace(attempt.request, tools=tools)
    outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(bench.output(attempt))
    return [line for line in bench.output(attempt) if also in line or "ade_tool is" in line]


async def _build(
    bench: Bench, house: Path, key: ConfigKey, *, trigger: Trigger = Trigger.INITIAL, **spec: Any
) -> Path:
    attempt = await bench.attempt(key=key, trigger=trigger, **spec)
    tools = replace(attempt.request.tools, wheelhouse=house)
    attempt.request = replace(attempt.request, tools=tools)
    outcome = await attempt.run()
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(bench.output(attempt))
    return attempt.request.paths.venv


def _with_start_up_code(tree: Path, line: str) -> None:
    """Have the wheel of a tree hold a line that Python runs at its start (site, ``.pth``)."""
    backend = tree / "backend.py"
    begin = '    record = "".join('
    added = f'    files["hostile.pth"] = {(line + chr(10)).encode()!r}\n{begin}'
    backend.write_text(backend.read_text().replace(begin, added, 1))


def _sdist_of(tree: Path, house: Path) -> Path:
    """Pack a tree as a source distribution (PEP 625) into a folder; returns the folder."""
    house.mkdir()
    stem = "ade_config-1.0.0"
    (tree / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: ade-config\nVersion: 1.0.0\n")
    with tarfile.open(house / f"{stem}.tar.gz", "w:gz") as archive:
        archive.add(tree, stem)
    return house


def _module(venv: Path, name: str) -> Path:
    return next(venv.glob(f"lib/*/site-packages/{name}/__init__.py"))


def _digest(venv: Path) -> str:
    """Hash all files of a venv, by their paths."""
    found = hashlib.sha256()
    for path in sorted(venv.rglob("*")):
        if path.is_file():
            found.update(str(path).encode() + path.read_bytes())
    return found.hexdigest()
