"""What ``describe``, ``list`` and ``top`` show, of statuses that the operator wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from configbuild.builds.records import StepProgress
from configbuild.cli.describe import LastLines, describe
from configbuild.cli.listing import config_rows, under_way
from configbuild.cli.steps import steps_to_come
from configbuild.cli.tables import format_age, shortened, table
from configbuild.model import BuildStatus, Step, StepStatus
from tests.cli.support import Ended
from tests.cli.test_explain import (
    BUILT,
    CASES,
    CHANGED,
    LATER,
    OLD,
    body,
    command,
    kubectl,
    live,
    state,
)
from tests.unit.examples import NOW, build_id

LONG = "n" * 63

# Those of a config whose source is at hand; nothing is fetched then, and no page says it will be.
STEPS_HERE = [name for name in Step if name is not Step.FETCH_CONFIG]


def steps(*times_s: float, last: StepStatus = StepStatus.SUCCEEDED) -> tuple[StepProgress, ...]:
    """Steps that took so long, one after the other; ``0`` was skipped."""
    rows, began = [], NOW
    for number, (name, time_s) in enumerate(zip(STEPS_HERE, times_s, strict=False), 1):
        status = last if number == len(times_s) else StepStatus.SUCCEEDED
        running = status is StepStatus.RUNNING
        ended = began + timedelta(seconds=time_s)
        rows.append(
            StepProgress(
                name=name,
                status=status if time_s else StepStatus.SKIPPED,
                message="uv installs without pip in the environment" if not time_s else "m",
                started_at=began,
                finished_at=None if running else ended,
                exit_code=2 if status is StepStatus.FAILED else None,
            )
        )
        began = ended
    return tuple(rows)


def page(found: dict[str, Any], *lines: str, trouble: str = "") -> list[str]:
    last = LastLines(lines=lines, trouble=trouble)
    return [line.plain for line in describe(found, last, now=LATER)]


FAILED = body(
    state(
        active=OLD,
        newest=replace(
            CHANGED,
            steps=steps(1, 0, 3, last=StepStatus.FAILED),
            started_at=NOW,
            finished_at=NOW + timedelta(seconds=4),
            hint="name the package as it calls itself",
        ),
        history=[BUILT, replace(CHANGED, id=build_id(2))],
    ),
    status={"log": {"lines": 152, "bytes": 23654, "url": "u"}},
)


def test_page_on_a_failed_build_tells_state_cause_steps_lines_and_history() -> None:
    assert page(FAILED, "| résolving", "! error: \x1b[31mno such package") == [
        "team-a/invoices: not ready (InstallEngineFailed)",
        f"active:  {OLD.build_id}",
        "         Python 3.12.4, ade-engine 1.4.0",
        "         built 2026-03-01T12:30:45Z (1m01s ago), no ttl",
        f"         {OLD.venv_path}",
        f"newest:  {CHANGED.id} failed after 4.0s",
        "why:     a source changed, the spec did not",
        "         config: c0 → c1",
        "message: uv pip install exited with 2:",
        "         no such package",
        "hint:    name the package as it calls itself",
        "steps:   ✓ create_venv         1.0s  ━━━━━━",
        "         - upgrade_pip      skipped  uv installs without pip in the environment",
        "         ✗ install_engine      3.0s        ━━━━━━━━━━━━━━━━━━  exit 2",
        "         · install_config",
        "         · verify_imports",
        "         · collect_metadata",
        "log:     152 events, 23.1 KiB",
        "         | résolving",
        "         ! error: \\x1b[31mno such package",
        "next:    none by itself: it is stalled",
        "         when an input changes: by an edit of the spec",
        "         by a new ade.dev/request or ade.dev/force, without any change",
        f"before:  {BUILT.id}  succeeded            1m01s",
        f"         {build_id(2)}  InstallEngineFailed  1m01s",
    ]


def test_step_that_runs_has_a_bar_up_to_now_and_the_rest_are_to_come() -> None:
    running = replace(
        CHANGED,
        status=BuildStatus.BUILDING,
        reason=None,
        finished_at=None,
        started_at=NOW,
        steps=steps(1, 60, last=StepStatus.RUNNING),
    )
    text = page(body(status=live(running)))
    assert f"newest:  {CHANGED.id} runs for 1m01s" in text
    at = text.index("         ▶ upgrade_pip        1m00s  ━━━━━━━━━━━━━━━━━━━━━━━━")
    assert text[at + 1 : at + 5] == [f"         · {name}" for name in STEPS_HERE[2:]]


def test_why_there_are_no_lines_is_told_on_the_page() -> None:
    text = "\n".join(page(FAILED, trouble="nobody answers at https://127.0.0.1:8443"))
    assert "no lines: nobody answers at https://127.0.0.1:8443" in text


@pytest.mark.parametrize("found", [case.values[0] for case in CASES], ids=range(len(CASES)))
def test_no_line_of_a_page_or_a_table_has_more_than_80_columns(found: Any) -> None:
    found = json.loads(json.dumps(found))
    found["metadata"] |= {"namespace": LONG, "name": LONG}
    status = found["status"]
    status["active"] = {**status.get("active", {}), "venvPath": f"/venvs/{LONG}/{LONG}/x"}
    shown = [
        *page(found, "| " + "x" * 300, "! " + "界" * 60),
        *config_rows([found], everywhere=True, now=LATER),
        *under_way([found], now=LATER),
    ]
    assert [line for line in shown if len(line) > 80] == []


def test_top_shows_what_runs_before_what_waits_in_the_order_of_the_queue() -> None:
    def one(name: str, **build: Any) -> dict[str, Any]:
        times = {"queuedAt": "2026-03-01T12:30:45Z", "startedAt": "2026-03-01T12:31:00Z"}
        status: dict[str, Any] = {
            "build": {"id": build_id(), "trigger": "Forced", **times, **build}
        }
        if build["status"] == "building":
            status["step"] = "install_engine"
        return {"metadata": {"namespace": "team-a", "name": name}, "status": status}

    assert under_way([], now=LATER) == ["0 building, 0 waiting"]
    shown = under_way(
        [
            one("late", status="queued"),
            one("second", status="queued", queuePosition=2),
            one("done", status="active"),
            one("runs", status="building"),
            one("first", status="queued", queuePosition=1),
            one("longer", status="building", startedAt="2026-03-01T12:30:50Z"),
        ],
        now=LATER,
    )
    assert shown == [
        "2 building, 3 waiting",
        "CONFIG         STATUS    STEP            FOR    TRIGGER",
        "team-a/longer  building  install_engine  56s    Forced",
        "team-a/runs    building  install_engine  46s    Forced",
        "team-a/first   queued 1                  1m01s  Forced",
        "team-a/second  queued 2                  1m01s  Forced",
        "team-a/late    queued                    1m01s  Forced",
    ]


def test_list_tells_how_each_config_stands() -> None:
    ready = body(state(active=OLD, newest=BUILT, fingerprint=None), generation=3)
    assert config_rows([FAILED, body(generation=1)], everywhere=False, now=LATER) == [
        "NAME      READY  PHASE   REASON               PYTHON  ENGINE            BUILT",
        "invoices  False  Failed  InstallEngineFailed  3.12.4  ade-engine 1.4.0  1m01s",
        "invoices",
    ]
    assert config_rows([ready], everywhere=True, now=LATER)[1].startswith("team-a/invoices ")


def test_cells_are_cut_in_their_middle_only_as_far_as_is_needed() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghij", 5) == "ab…ij"
    rows = [("A" * 30, "b", "C" * 20), ("a", "b", "c")]
    wide, _ = table(rows, flexible=(0, 2), width=40)
    assert (len(wide), wide.count("…")) == (40, 2)
    assert table(rows, width=80)[1] == f"{'a':30}  b  c"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (12.4, "12s"), (245, "4m05s"), (7800, "2h10m"), (260000, "3d")],
)
def test_ages_are_brief(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


def test_commands_write_shapes_as_kubectl_does(tmp_path: Any) -> None:
    (tmp_path / "one.json").write_text(json.dumps(FAILED))
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [FAILED]}
    (tmp_path / "all.json").write_text(json.dumps(listed))
    env = kubectl(
        tmp_path,
        f'case "$2" in configbuilds) cat {tmp_path}/all.json;; *) cat {tmp_path}/one.json;; esac',
    )

    def run(*arguments: str) -> Ended:
        done = command(*arguments, env=env)
        assert (done.code, done.errors) == (0, ""), done
        return done

    assert run("list", "-o", "name").text == "configbuild.ade.dev/invoices\n"
    assert (tmp_path / "asked").read_text() == "get configbuilds -o json\n"
    assert json.loads(run("list", "-A", "-o", "json").text) == listed
    assert (tmp_path / "asked").read_text() == "get configbuilds --all-namespaces -o json\n"
    assert yaml.safe_load(run("describe", "invoices", "-o", "yaml").text) == FAILED
    assert run("explain", "invoices", "-o", "name").text == "configbuild.ade.dev/invoices\n"
    assert json.loads(run("top", "-n", "team-a", "-o", "json").text)["items"] == []
    page = run("describe", "invoices", "--lines", "0")
    assert page.lines[0] == "team-a/invoices: not ready (InstallEngineFailed)"
    assert "no lines" not in page.text


def test_step_that_was_passed_over_is_not_to_come() -> None:
    assert steps_to_come([]) == STEPS_HERE
    assert steps_to_come([Step.FETCH_CONFIG]) == STEPS_HERE
    assert steps_to_come([Step.CREATE_VENV]) == STEPS_HERE[1:]
    assert steps_to_come([Step.COLLECT_METADATA, Step.CREATE_VENV]) == []
    assert "fetch_config" not in "\n".join(page(FAILED))
