"""A hostile config package, built by the engine: what it tries is denied, and succeeds without."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from configbuild.layout import Layout
from configbuild.model import BuildStatus
from tests.attacks.attempts import ATTEMPTS
from tests.attacks.targets import LIMITS, attempts_source, outcome_of, targets
from tests.engine.support import KEY, Bench, wheel_of
from tests.packages import write_package

# The kernel does not count root's processes, so this one is tried without root, in
# tests/process/test_confinement.py.
NAMES = [name for name in ATTEMPTS if name != "start more processes than allowed"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the hostile package says of itself, in the sandbox and without."""
    return {
        sandbox: asyncio.run(_build(tmp_path_factory.mktemp(sandbox), sandbox == "on"))
        for sandbox in ("on", "off")
    }


@pytest.mark.parametrize("where", ["building", "importing"])
@pytest.mark.parametrize("name", NAMES)
def test_attempt_is_denied_and_succeeds_without_the_sandbox(
    lines: dict[str, list[str]], where: str, name: str
) -> None:
    assert outcome_of(lines["on"], where, name) == "denied"
    assert outcome_of(lines["off"], where, name) == "succeeded"


@pytest.mark.parametrize("sandbox", [True, False])
def test_wheel_of_others_that_metadata_names_is_out_of_reach_but_without_the_sandbox(
    tmp_path: Path, *, sandbox: bool
) -> None:
    """A spec may not name a file; what a package requires is not the spec's, and may."""
    asyncio.run(_require_a_wheel_of_others(tmp_path, sandbox=sandbox))


async def _require_a_wheel_of_others(directory: Path, *, sandbox: bool) -> None:
    bench = await Bench.at(directory)
    theirs = directory / "sources" / "team-b"
    theirs.mkdir()
    wheel_of(write_package(directory / "wages", "wages"), theirs, "wages")
    (wheel,) = theirs.glob("*.whl")
    backend = write_package(bench.sources / "config", "ade-config") / "backend.py"
    version = '"Version: " + VERSION'
    named = f'{version}, "Requires-Dist: wages @ {wheel.as_uri()}"'
    backend.write_text(backend.read_text().replace(version, named))
    attempt = await bench.attempt()
    attempt.request = replace(attempt.request, sandbox=sandbox)

    outcome = await attempt.run()

    said = "\n".join(bench.output(attempt))
    if sandbox:
        assert outcome.status is BuildStatus.FAILED, said
        assert "Permission denied" in said
    else:
        assert outcome.status is BuildStatus.ACTIVE, said
        assert list(attempt.request.paths.venv.rglob("wages-1.0.0.dist-info"))


async def _build(directory: Path, sandbox: bool) -> list[str]:
    bench = await Bench.at(directory)
    layout = Layout(
        venvs=directory / "venvs",
        logs=directory / "logs",
        cache=directory / "cache",
        sources=directory / "sources",
    )
    with targets(layout, namespace=KEY.namespace) as aims:
        hostile = attempts_source()
        tree = write_package(
            bench.sources / "config",
            "ade-config",
            while_building=f"import hostile\nhostile.try_all({aims!r}, where='building')",
            module_source=f"{hostile}\n\ntry_all({aims!r}, where='importing')\n",
        )
        (tree / "hostile.py").write_text(hostile)
        attempt = await bench.attempt()
        attempt.request = replace(attempt.request, sandbox=sandbox, limits=LIMITS)
        outcome = await attempt.run()
    said = [event.body.message for event in bench.events(attempt) if event.body.TYPE == "build.log"]
    assert outcome.status is BuildStatus.ACTIVE, "\n".join(said)
    return said
