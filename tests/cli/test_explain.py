"""``kubectl configbuild explain`` says what a status says that the operator wrote."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from configbuild.builds.records import BuildRecord
from configbuild.builds.state import ConfigState, Problem
from configbuild.builds.tokens import Handled, TokenKind
from configbuild.cli.explain import explain, explain_json
from configbuild.kube.status import render_status
from configbuild.model import BuildStatus, Step, Trigger
from tests.cli.support import PATIENCE_S, Ended, argv, environment
from tests.unit.examples import FINGERPRINT, KEY, NOW, OTHER_FINGERPRINT, active, build_id, record

LATER = NOW + timedelta(seconds=61)
BUILT = record(status=BuildStatus.ACTIVE, started_at=NOW, finished_at=NOW, exit_code=0)
CHANGED = record(
    id=build_id(1),
    status=BuildStatus.FAILED,
    trigger=Trigger.SOURCE_CHANGED,
    changed=("config",),
    changed_from={"config": "c0"},
    finished_at=NOW,
    summary="Build failed in step install_engine",
    message="uv pip install exited with 2:\nno such package",
    reason="InstallEngineFailed",
    failed_step=Step.INSTALL_ENGINE,
)
UNREACHABLE = replace(CHANGED, reason="IndexUnreachable", message="no answer", attempt=2)
OLD = active(fingerprint="old")
A_DAY = 86400.0
PIN: dict[str, str] = {"ade.dev/activate": build_id()}
PINNED = {TokenKind.ACTIVATE: Handled(token=build_id(), generation=3, build_id=build_id())}


def state(**changes: Any) -> ConfigState:
    usual: dict[str, Any] = {"generation": 3, "fingerprint": FINGERPRINT}
    return ConfigState(key=KEY, uid="uid-1", **{**usual, **changes})


def body(
    found: ConfigState | None = None,
    *,
    annotations: dict[str, str] | None = None,
    generation: int = 3,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """The object with that state, as kubectl prints it."""
    if found is not None:
        status = {**render_status(found, queue_position=None, previous={}), **(status or {})}
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "generation": generation}
    whole = {
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
        "spec": {"config": {"requirement": "ade-config==2.1"}, **spec},
        "status": status if status is not None else {"observedGeneration": -1},
    }
    read = json.loads(json.dumps(whole))
    assert isinstance(read, dict)
    return read


def live(newest: BuildRecord) -> dict[str, Any]:
    """What is told of an attempt that runs; :class:`ConfigState` would need a real one."""
    status = render_status(
        state(newest=newest, active=OLD, fingerprint=FINGERPRINT), queue_position=None, previous={}
    )
    ready = {"type": "Ready", "status": "False", "reason": "Building", "message": "m"}
    return {**status, "conditions": [ready, {**ready, "type": "Reconciling", "status": "True"}]}


CASES = [
    pytest.param(
        body(generation=1),
        [
            "team-a/invoices: not ready (no operator has looked at it yet)",
            "active:  none",
            "newest:  none yet",
            "next:    open: the operator has not looked at generation 1 yet",
        ],
        id="fresh",
    ),
    pytest.param(
        body(annotations={"ade.dev/force": "t1"}, status={}),
        ["next:    open: the operator has not looked at generation 3 yet", "force=t1 (not handled"],
        id="fresh, without any status",
    ),
    pytest.param(
        body(status=live(replace(CHANGED, status=BuildStatus.BUILDING, reason=None))),
        [
            "team-a/invoices: not ready (Building)",
            f"newest:  {build_id(1)} is building",
            "why:     a source changed, the spec did not",
            "         config: c0 → c1",
            f"next:    {build_id(1)} is under way",
            "         a change of an input has it replaced",
        ],
        id="building",
    ),
    pytest.param(
        body(state(active=active(), newest=BUILT)),
        [
            "team-a/invoices: ready (BuildSucceeded)",
            f"active:  {build_id()}",
            "         Python 3.12.4, ade-engine 1.4.0",
            "         built 2026-03-01T12:30:45Z (1m01s ago), no ttl",
            f"newest:  {build_id()} succeeded",
            "why:     there was none before",
            "next:    never by age: there is no ttl",
            "         when an input changes: by an edit of the spec",
            "         by a new ade.dev/force, or when the venv or its interpreter is gone",
        ],
        id="active",
    ),
    pytest.param(
        body(state(active=active(), newest=BUILT), config={"configMap": {"name": "m"}}),
        [" by an edit of spec or source (seen at the", "operator's interval)"],
        id="active, of a source that moves",
    ),
    pytest.param(
        body(state(active=active(), newest=BUILT), engine={"path": "engine"}, interval="5m"),
        ["when an input changes: by an edit of spec or source (seen every 5m)"],
        id="active, of an engine that moves, with an interval",
    ),
    pytest.param(
        body(state(active=active(), newest=BUILT, ttl_s=A_DAY)),
        [
            "         expires 2026-03-02T",
            "next:    when it expires: 2026-03-02T",
            "(in 24h",
        ],
        id="active, with a ttl",
    ),
    pytest.param(
        body(state(active=active(built_at=NOW - timedelta(days=2)), newest=BUILT, ttl_s=A_DAY)),
        ["         expired 2026-02-28T", "next:    now: it expired 2026-02-28T", " ago)"],
        id="expired",
    ),
    pytest.param(
        # Whether it is too old yet the status judges by today's clock.
        body(
            state(
                active=active(),
                newest=replace(CHANGED, trigger=Trigger.FORCED),
                ttl_s=100_000 * A_DAY,
            )
        ),
        [
            "team-a/invoices: ready",
            "why:     it was forced",
            "next:    not by age, though there is a ttl: the newest build ended",
        ],
        id="active, and a forced build failed",
    ),
    pytest.param(
        body(state(active=active(), newest=replace(UNREACHABLE, trigger=Trigger.FORCED))),
        ["team-a/invoices: ready", "next:    never by age: there is no ttl"],
        id="active, and what failed is not tried again as it is not wanted",
    ),
    pytest.param(
        body(state(active=OLD, newest=CHANGED)),
        [
            "team-a/invoices: not ready (InstallEngineFailed)",
            "         uv pip install exited with 2:",
            "         no such package",
            f"newest:  {build_id(1)} failed",
            "         config: c0 → c1",
            "next:    none by itself: it is stalled",
            "         when an input changes: by an edit of the spec",
            "         by a new ade.dev/request or ade.dev/force, without any change",
        ],
        id="failed",
    ),
    pytest.param(
        body(state(newest=replace(CHANGED, status=BuildStatus.CANCELED, reason="Canceled"))),
        ["not ready (Canceled)", " canceled", "next:    none by itself: it is stalled"],
        id="canceled",
    ),
    pytest.param(
        body(state(newest=replace(CHANGED, reason="SafeMode"))),
        ["next:    when the operator runs without safe mode again"],
        id="safe mode",
    ),
    pytest.param(
        body(state(newest=replace(CHANGED, reason="SandboxUnavailable"))),
        [
            "next:    when the operator runs where the kernel has Landlock, or with",
            "         ADE_SANDBOX=off",
        ],
        id="no sandbox",
    ),
    pytest.param(
        body(state(active=OLD, newest=UNREACHABLE)),
        [
            "not ready (IndexUnreachable)",
            f"newest:  {build_id(1)} failed, try 2",
            "next:    now, by itself: try 3, due since 2026-03-01T12:31:45Z (1s ago)",
        ],
        id="retry due",
    ),
    pytest.param(
        body(state(active=OLD, newest=replace(UNREACHABLE, attempt=3))),
        ["next:    by itself: try 4 at 2026-03-01T12:32:45Z (in 59s)"],
        id="retry to come",
    ),
    pytest.param(
        body(state(newest=replace(CHANGED, reason="OperatorShutdown"))),
        ["not ready (OperatorShutdown)", "next:    soon, by itself: the operator looks again"],
        id="interrupted",
    ),
    pytest.param(
        body(
            state(
                newest=UNREACHABLE,
                problem=Problem(reason="SourceUnavailable", message="m", stalled=False),
            )
        ),
        ["not ready (SourceUnavailable)", "next:    soon, by itself: the operator looks again"],
        id="source cannot be had now",
    ),
    pytest.param(
        body(
            state(
                newest=BUILT,
                active=active(),
                problem=Problem(reason="InvalidSpec", message="spec.ttl: no", stalled=True),
            )
        ),
        [
            "not ready (InvalidSpec)",
            "next:    none until the spec, or the source that it names, is put right",
        ],
        id="spec cannot be built from",
    ),
    pytest.param(
        body(
            state(active=active(), newest=BUILT, pinned=True, handled=PINNED, ttl_s=A_DAY),
            annotations=PIN,
        ),
        [
            "team-a/invoices: ready (Pinned)",
            "         pinned by ade.dev/activate",
            "next:    none by itself while ade.dev/activate pins the active build",
            f"tokens:  activate={build_id()} (handled)",
        ],
        id="pinned",
    ),
    pytest.param(
        body(state(active=OLD, newest=CHANGED, suspended=True), suspend=True),
        [
            "not ready (Suspended)",
            "next:    none while spec.suspend is true, not even by a token",
            "         what is declared is not what is active: after that it is decided anew",
        ],
        id="suspended",
    ),
    pytest.param(
        body(state(active=active(), newest=BUILT, suspended=True, ttl_s=A_DAY), suspend=True),
        ["team-a/invoices: ready", "next:    none while spec.suspend is true, not even by a token"],
        id="suspended, and current",
    ),
    pytest.param(
        body(
            state(
                active=active(),
                newest=BUILT,
                handled={
                    TokenKind.FORCE: Handled(token="t1", generation=3, build_id=build_id()),
                    TokenKind.CANCEL: Handled(token="t0", generation=2),
                },
                faults={TokenKind.REQUEST: "ade.dev/request: 'a b' is no token; expected one"},
            ),
            annotations={"ade.dev/force": "t2", "ade.dev/request": "a b", "ade.dev/cancel": "t0"},
        ),
        [
            "next:    ade.dev/force=t2 is not handled yet",
            "tokens:  force=t2 (not handled yet), request=a b (refused), cancel=t0 (handled)",
            "refused: ade.dev/request: 'a b' is no token; expected one",
        ],
        id="invalid annotation, and a token to come",
    ),
    pytest.param(
        body(
            state(
                active=active(),
                newest=BUILT,
                handled={TokenKind.FORCE: Handled(token="t", generation=3, build_id=build_id())},
                faults={TokenKind.ACTIVATE: f"ade.dev/activate: {build_id(9)} is no build of this"},
            ),
            annotations={"ade.dev/activate": build_id(9)},
        ),
        [
            f"tokens:  force=t (handled: {build_id()}),",
            f"         activate={build_id(9)} (refused)",
            f"refused: ade.dev/activate: {build_id(9)} is",
        ],
        id="build to activate is unknown",
    ),
    pytest.param(
        body(state(active=active(), newest=BUILT), generation=4),
        [
            "team-a/invoices: not known for generation 4; generation 3 was ready",
            "next:    open: the operator has not looked at generation 4 yet",
        ],
        id="edited, and not looked at",
    ),
    pytest.param(
        body(state(active=OLD, newest=CHANGED, fingerprint=OTHER_FINGERPRINT)),
        ["         config: was c0"],
        id="declared has moved on since the build",
    ),
    pytest.param(
        body(state(active=OLD, newest=replace(CHANGED, changed=("config", "gone", "python"))))
        | {"spec": {}},
        ["         config: c0 → c1, gone: none → none, python: none → p1"],
        id="inputs came and went",
    ),
]


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_explanation(found: dict[str, Any], expected: list[str]) -> None:
    lines = explain(found, now=LATER)

    text = "\n".join(lines)
    at = 0
    for part in expected:  # in that order
        assert part in text[at:], f"{part!r} is not to be found in this order in:\n{text}"
        at = text.index(part, at) + len(part)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 15


@pytest.mark.parametrize("found", [case.values[0] for case in CASES])
def test_json_says_the_same_for_programs(found: Any) -> None:
    said = json.loads(json.dumps(explain_json(found, now=LATER)))

    text = "\n".join(explain(found, now=LATER))
    assert said["ready"] == text.startswith("team-a/invoices: ready ")
    for sentence in said["next"]:
        assert sentence.split(maxsplit=1)[0] in text
    assert (said["newest"] is None) == ("newest:  none yet" in text)


def test_worst_status_stays_short_and_sends_no_escape_to_the_terminal() -> None:
    inputs = dict.fromkeys(FINGERPRINT.inputs, "a" * 12) | {
        f"input-{number}": "b" * 12 for number in range(6)
    }
    newest = replace(
        CHANGED,
        message="\x1b[2J" + "x" * 500 + "\nno spaces\n" * 50,
        changed=tuple(inputs),
        changed_from=inputs,
    )
    lines = explain(body(state(active=OLD, newest=newest, ttl_s=A_DAY)), now=LATER)

    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 20
    assert [line for line in lines if line.endswith(" …")]


def test_words_for_a_trigger_are_there_for_each() -> None:
    for trigger in Trigger:
        lines = explain(body(state(newest=replace(BUILT, trigger=trigger))), now=LATER)
        assert f"why:     {trigger}" not in lines
    newer = body(state(newest=BUILT))
    newer["status"]["build"]["trigger"] = "FullMoon"
    assert "why:     FullMoon" in explain(newer, now=LATER)


def kubectl(directory: Path, script: str) -> dict[str, str]:
    """An environment in which a script stands in for kubectl."""
    program = directory / "kubectl"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" > {directory}/asked\n{script}\n")
    program.chmod(0o755)
    return environment({"KUBECTL": program, "KUBECONFIG": "/nowhere"})


def run(*arguments: str, env: dict[str, str]) -> Ended:
    return command("explain", *arguments, env=env)


def command(*arguments: str, env: dict[str, str]) -> Ended:
    done = subprocess.run(
        argv("kubectl", *arguments),
        env=env,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def test_object_is_read_by_kubectl(tmp_path: Path) -> None:
    recorded = body(state(active=OLD, newest=CHANGED))
    env = kubectl(tmp_path, f"printf %s {shlex.quote(json.dumps(recorded))}")

    text = run("invoices", "-n", "team-a", env=env)
    assert (text.code, text.errors) == (0, "")
    assert text.lines[0] == "team-a/invoices: not ready (InstallEngineFailed)"
    assert "         config: c0 → c1" in text.lines
    assert (tmp_path / "asked").read_text() == "get configbuild invoices -n team-a -o json\n"

    said = run("invoices", "-o", "json", env=env)
    assert json.loads(said.text)["newest"]["changed"] == [
        {"input": "config", "before": "c0", "now": "c1", "superseded": False}
    ]
    # kubectl knows best which namespace is the current one.
    assert (tmp_path / "asked").read_text() == "get configbuild invoices -o json\n"


def test_what_kubectl_says_and_how_it_ends_is_passed_on(tmp_path: Path) -> None:
    refusal = 'Error from server (NotFound): configbuilds.ade.dev "x" not found'
    missing = run("x", env=kubectl(tmp_path, f"echo '{refusal}' >&2; exit 1"))
    assert (missing.code, missing.text, missing.errors) == (1, "", f"{refusal}\n")
    killed = run("x", env=kubectl(tmp_path, "kill -TERM $$"))
    assert (killed.code, killed.text, killed.errors) == (143, "", "")


def test_what_is_no_kubectl_ends_with_2(tmp_path: Path) -> None:
    for script in ("echo hello", "echo '[]'", "true"):
        done = run("x", env=kubectl(tmp_path, script))
        assert (done.code, done.text) == (2, "")
        assert done.errors.endswith("kubectl gave no object; is this kubectl?\n")
    absent = run("x", env=environment({"KUBECTL": tmp_path / "absent"}))
    assert (absent.code, absent.errors.count("\n")) == (2, 1)
    assert "absent cannot be started" in absent.errors
