"""What of earlier builds is kept, by count, age, use and the grace after a replacement."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from configbuild.builds.records import BuildRecord
from configbuild.builds.retention import Kept, Rules, Sweep, outdated, removable
from configbuild.builds.state import ActiveBuild, ConfigState
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildId, BuildStatus, ConfigKey, Trigger

KEY = ConfigKey("team-a", "invoices")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RULES = Rules(keep_replaced_s=DAY.total_seconds(), orphan_grace_s=3600)


def build_id(number: int) -> BuildId:
    return BuildId.parse(f"build_01JB2Z5V7T3QK8M4N6P9R0000{number}")


def record(number: int, age: timedelta, status: BuildStatus = BuildStatus.ACTIVE) -> BuildRecord:
    return BuildRecord(
        id=build_id(number),
        key=KEY,
        status=status,
        trigger=Trigger.INITIAL,
        queued_at=NOW - age,
        finished_at=NOW - age,
    )


def state(active: int | None = None, *history: BuildRecord) -> ConfigState:
    known = ConfigState(key=KEY, uid="uid-1", history=list(history), retention_s=7 * 86400.0)
    if active is not None:
        known.active = ActiveBuild(
            build_id=build_id(active),
            venv_path="",
            fingerprint="",
            inputs={},
            python="",
            engine="",
            built_at=NOW,
        )
    return known


def venv(number: int, age: timedelta | None) -> Kept:
    verified = NOW - age if age is not None else None
    return Kept(build_id=build_id(number), uid="uid-1", verified=verified)


@pytest.mark.parametrize(
    ("known", "kept", "removed"),
    [
        pytest.param(state(2), [venv(1, 3 * DAY), venv(2, 2 * DAY)], [1], id="replaced long ago"),
        pytest.param(state(2), [venv(1, 3 * DAY), venv(2, HOUR)], [], id="replaced just now"),
        pytest.param(state(1), [venv(1, 9 * DAY), venv(2, 8 * DAY)], [], id="rolled back from"),
        pytest.param(
            state(2, record(1, 3 * DAY)),
            [venv(1, 3 * DAY), venv(2, 2 * DAY)],
            [],
            id="remembered, so that it can be activated",
        ),
        pytest.param(
            state(2, record(1, 3 * DAY, BuildStatus.FAILED)),
            [venv(1, None), venv(2, 2 * DAY)],
            [1],
            id="never verified",
        ),
        pytest.param(state(None), [venv(1, 9 * DAY)], [], id="nothing took its place"),
    ],
)
def test_venv_is_removable_once_nothing_holds_it(
    known: ConfigState, kept: list[Kept], removed: list[int]
) -> None:
    found = removable(known, kept, now=NOW, rules=RULES)
    assert found == [build_id(number) for number in removed]


def test_records_are_forgotten_by_age_and_never_the_active_builds() -> None:
    old, young, active = record(1, 8 * DAY), record(2, 6 * DAY), record(3, 30 * DAY)
    assert outdated(state(3, young, old, active), NOW) == [old]
    unlimited = state(None, old)
    unlimited.retention_s = None
    assert outdated(unlimited, NOW) == []


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    layout = Layout(
        venvs=tmp_path / "venvs",
        logs=tmp_path / "logs",
        cache=tmp_path / "cache",
        sources=tmp_path / "sources",
    )
    return Sweep(layout=layout, journals=Journals(layout.logs), rules=RULES)


def make_venv(sweep: Sweep, key: ConfigKey, number: int, *, uid: str, age_s: float) -> Path:
    paths = sweep.layout.build(key, build_id(number))
    paths.runtime.mkdir(parents=True)
    receipt = {"schema": 1, "build_id": build_id(number), "uid": uid, "verified": NOW.isoformat()}
    paths.receipt.write_text(json.dumps(receipt))
    _age(paths.venv, age_s)
    return paths.venv


def test_venvs_of_objects_that_are_gone_are_orphans_after_the_grace(sweep: Sweep) -> None:
    other = ConfigKey("team-b", "x")
    gone = make_venv(sweep, ConfigKey("team-a", "gone"), 1, uid="uid-9", age_s=7200)
    make_venv(sweep, ConfigKey("team-a", "gone"), 2, uid="uid-9", age_s=10)
    recreated = make_venv(sweep, KEY, 3, uid="uid-0", age_s=7200)
    make_venv(sweep, KEY, 4, uid="uid-1", age_s=7200)
    elsewhere = make_venv(sweep, other, 5, uid="uid-8", age_s=7200)
    assert sweep.orphaned_venvs({KEY: "uid-1"}, ["team-a"]) == [gone, recreated]
    assert elsewhere in sweep.orphaned_venvs({KEY: "uid-1"}, [])


def test_journals_that_nothing_remembers_are_listed_after_the_grace(sweep: Sweep) -> None:
    for number, age_s in ((1, 7200.0), (2, 10.0), (3, 7200.0)):
        sweep.journals.create(build_id(number)).close()
        _age(sweep.journals.path(build_id(number)), age_s)
    live = sweep.journals.create(build_id(4))
    _age(live.path, 7200)
    assert sweep.unknown_journals({build_id(3)}) == [build_id(1)]
    live.close()


def _age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_history_says_whom_it_has_no_room_for() -> None:
    known = state(None, record(4, HOUR), record(2, 2 * HOUR))
    known.history_limit = 2
    assert known.remember(record(3, HOUR)) == [record(2, 2 * HOUR)]
    assert [row.id for row in known.history] == [build_id(4), build_id(3)]
    assert known.remember(record(1, DAY)) == [record(1, DAY)]
