"""The operator in a real cluster, under its own role: what it builds, says and leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cluster.controlplane import wait_until
from tests.cluster.operation import Operator, condition_of
from tests.cluster.trouble import SLOW, SPEC
from tests.packages import package_files, write_package
from tests.waits import Gate, process_ended


def test_applied_object_becomes_a_venv_that_runs(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    body = operator.wait_for("invoices", "Ready")
    status = body["status"]
    python = Path(status["active"]["venvPath"]) / "bin" / "python"
    code = "import ade_engine, ade_config; print(ade_config.__file__)"
    ran = subprocess.run(
        [python, "-I", "-B", "-c", code], capture_output=True, text=True, check=True
    )
    assert status["active"]["venvPath"] in ran.stdout
    assert status["active"]["engine"] == "ade-engine 1.0.0"
    assert [step["name"] for step in status["steps"]] == [
        "create_venv",
        "upgrade_pip",
        "install_engine",
        "install_config",
        "verify_imports",
        "collect_metadata",
    ]
    assert status["phase"] == "Active"
    assert status["build"]["trigger"] == "Initial"
    assert {row["type"]: row["status"] for row in status["conditions"]} == {
        "Ready": "True",
        "Available": "True",
    }


def test_events_tell_the_course_of_a_build(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")

    def reasons() -> list[str] | None:
        found = operator.event_reasons()
        return found if "BuildSucceeded" in found else None

    told = wait_until(reasons, what="BuildSucceeded is announced", timeout_s=10)
    assert told.count("BuildSucceeded") == 1
    assert "BuildFailed" not in told


def test_config_map_source_is_built_and_its_edit_under_a_new_name_rebuilds(
    operator: Operator,
) -> None:
    _config_map(operator, "rules-a", module_source="RULE = 1\n")
    operator.apply("rules", _config_map_spec("rules-a"))
    first = operator.wait_for("rules", "Ready")["status"]
    _config_map(operator, "rules-b", module_source="RULE = 2\n")
    operator.apply("rules", _config_map_spec("rules-b"))
    second = operator.wait_for("rules", "Ready")["status"]
    assert second["active"]["buildId"] != first["active"]["buildId"]
    assert second["build"]["trigger"] == "SpecChanged"
    assert second["build"]["changed"] == ["config"]
    assert second["build"]["changedFrom"] == {"config": first["fingerprint"]["inputs"]["config"]}
    assert second["fingerprint"]["inputs"]["config"] not in second["build"]["changedFrom"].values()
    assert second["history"][0]["id"] == first["active"]["buildId"]


def test_unchanged_apply_builds_nothing_and_writes_nothing(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    before = operator.wait_at_rest("invoices")
    mark = operator.cluster.audit.mark()
    operator.apply("invoices", SPEC)
    # A change that is none to the build: the operator sees the object and has nothing to do.
    operator.cluster.kubectl("label", "cb/invoices", "-n", operator.namespace, "team=a")
    with operator.client() as client:
        answer = client.post(_builds(operator, "invoices"), json={})
    assert answer.status_code == 200
    assert answer.json()["summary"] == "Reused existing build"
    assert _writes(operator, mark) == []
    assert operator.get("invoices")["status"] == before["status"]


def test_restart_at_rest_writes_nothing_and_builds_nothing(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    before = operator.wait_at_rest("invoices")
    mark = operator.cluster.audit.mark()
    assert operator.stop() == 0
    operator.start()
    with operator.client() as client:
        answer = client.post(_builds(operator, "invoices"), json={})
    assert answer.json()["id"] == before["status"]["active"]["buildId"]
    assert _writes(operator, mark) == []


def test_edit_supersedes_the_running_build_and_the_active_one_stands_until_the_end(
    operator: Operator, gate: Gate
) -> None:
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    during = operator.wait_for("invoices", "Reconciling")["status"]
    assert during["active"] == first
    assert condition_of({"status": during}, "Available")["status"] == "True"
    write_package(operator.sources / "third", "ade-config", module_source="THIRD = 3\n")
    operator.apply("invoices", {**SPEC, "config": {"path": "third"}})
    after = operator.wait_for("invoices", "Ready")["status"]
    assert after["active"]["buildId"] not in (first["buildId"], during["build"]["id"])
    superseded = operator.journal(during["build"]["id"])[-1]
    assert (superseded["type"], superseded["status"]) == ("build.completed", "canceled")
    assert superseded["reason"] == "Superseded"
    assert not (operator.venvs / "invoices" / during["build"]["id"][6:].lower()).exists()


def test_delete_ends_the_running_build_and_removes_all_of_it(
    operator: Operator, daemon_gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    daemon = daemon_gate.wait_until_reached()
    operator.cluster.kubectl("delete", "cb/invoices", "-n", operator.namespace)
    assert process_ended(daemon)
    wait_until(
        lambda: not (operator.venvs / "invoices").exists() and not list(operator.logs.iterdir()),
        what="venv and journal are removed",
        timeout_s=20,
    )


def test_killed_operator_leaves_no_process_and_the_next_one_builds_again(
    operator: Operator, daemon_gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    daemon = daemon_gate.wait_until_reached()
    interrupted = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    operator.kill()
    assert process_ended(daemon)
    # The same bytes without the wait: the fingerprint is another, as after any mended source.
    write_package(operator.sources / "slow", "ade-config")
    operator.start()
    status = operator.wait_for("invoices", "Ready")["status"]
    assert status["active"]["buildId"] != interrupted
    assert [row["id"] for row in status["history"]] == [interrupted]
    events = operator.journal(interrupted)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("build.completed") == 1
    assert events[-1]["reason"] == "Interrupted"


def test_interrupted_build_is_built_again_with_its_own_trigger(
    operator: Operator, gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    operator.wait_for("invoices", "Reconciling")
    operator.kill()
    gate.open_for_good()
    operator.start()
    status = operator.wait_for("invoices", "Ready")["status"]
    assert status["build"]["trigger"] == "Interrupted"


def test_stopped_operator_ends_the_build_and_writes_down_that_it_did(
    operator: Operator, daemon_gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    daemon = daemon_gate.wait_until_reached()
    assert operator.stop() == 0
    assert process_ended(daemon)
    build = operator.get("invoices")["status"]["build"]
    assert (build["status"], build["failure"]["reason"]) == ("canceled", "OperatorShutdown")
    assert operator.journal(build["id"])[-1]["type"] == "build.completed"


def test_table_alone_tells_why_a_build_failed_and_what_to_change(operator: Operator) -> None:
    code = 'raise ValueError("rule 7 has no name")'
    write_package(operator.sources / "broken", "ade-config", while_building=code)
    operator.apply("invoices", {**SPEC, "config": {"path": "broken"}})
    body = operator.wait_for("invoices", "Stalled")
    table = operator.cluster.kubectl("get", "cb", "-n", operator.namespace, "-o", "wide").stdout
    heads, row = table.splitlines()
    assert ("REASON" in heads, "MESSAGE" in heads) == (True, True)
    assert "BuildBackendFailed" in row
    assert "uv build exited with 2: ValueError: rule 7 has no name" in row
    assert "(hint: mend the source tree that spec.config names" in row
    hint = body["status"]["build"]["failure"]["hint"]
    assert hint.startswith("mend the source tree that spec.config names")
    assert f"(hint: {hint})" in condition_of(body, "Ready")["message"].splitlines()[0]

    def announced() -> bool:
        failures = [it["message"] for it in operator.events() if it["reason"] == "BuildFailed"]
        return any(f"(hint: {hint})" in message for message in failures)

    assert wait_until(announced, what="the hint is announced", timeout_s=10)


def test_failing_install_shows_its_last_lines_and_spares_the_active_build(
    operator: Operator,
) -> None:
    operator.apply("invoices", SPEC)
    active = operator.wait_for("invoices", "Ready")["status"]["active"]
    write_package(
        operator.sources / "broken",
        "ade-config",
        while_building='raise SystemExit("the rules have a hole in line 7")',
    )
    operator.apply("invoices", {**SPEC, "config": {"path": "broken"}})
    body = operator.wait_for("invoices", "Stalled")
    status = body["status"]
    assert status["active"] == active
    assert condition_of(body, "Ready")["reason"] == "BuildBackendFailed"
    assert "the rules have a hole in line 7" in condition_of(body, "Ready")["message"]
    assert condition_of(body, "Available")["status"] == "True"
    assert status["build"]["failure"]["step"] == "install_config"
    assert len(list((operator.venvs / "invoices").iterdir())) == 1


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        pytest.param(
            {**SPEC, "config": {"requirement": "two words"}},
            "InvalidSpec",
            "spec.config.requirement",
            id="requirement",
        ),
        pytest.param(
            {**SPEC, "config": {"configMap": {"name": "nowhere"}}},
            "ConfigMapNotFound",
            "spec.config.configMap.name",
            id="missing ConfigMap",
        ),
        pytest.param(
            {**SPEC, "config": {"path": "leads-out"}},
            "PathOutsideRoot",
            "spec.config.path",
            id="path outside the root",
        ),
        pytest.param({**SPEC, "python": "3.99"}, "PythonUnavailable", "spec.python", id="python"),
        pytest.param(
            {**SPEC, "config": {"git": {"url": "https://127.0.0.1/x", "ref": {"tag": "v1"}}}},
            "HostNotAllowed",
            "spec.config.git.url",
            id="git of a host that is not public",
        ),
        pytest.param(
            {**SPEC, "config": {"archive": {"url": "https://[::1]/x", "sha256": "0" * 64}}},
            "HostNotAllowed",
            "spec.config.archive.url",
            id="archive of a host that is not public",
        ),
    ],
)
def test_what_only_the_operator_can_judge_is_stalled_and_names_the_field(
    operator: Operator, spec: dict[str, object], reason: str, field: str
) -> None:
    (operator.sources / "leads-out").symlink_to("/etc")
    operator.apply("wrong", spec)
    row = condition_of(operator.wait_for("wrong", "Stalled"), "Stalled")
    assert row["reason"] == reason
    assert row["message"].startswith(field)
    # Nothing that is wrong with one disturbs another.
    operator.apply("right", SPEC)
    operator.wait_for("right", "Ready")


def test_missing_config_map_is_built_from_once_it_is_there(operator: Operator) -> None:
    operator.apply("rules", _config_map_spec("rules"))
    operator.wait_for("rules", "Stalled")
    _config_map(operator, "rules")
    operator.wait_for("rules", "Ready", patient=True)


def test_stream_over_http_is_the_journal_from_first_to_last_event(
    operator: Operator, gate: Gate
) -> None:
    operator.apply("invoices", SLOW)
    lines: list[dict[str, object]] = []
    with (
        operator.client() as client,
        client.stream("POST", _builds(operator, "invoices"), json={"stream": True}) as answer,
    ):
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer.iter_lines():
            if not line:
                continue
            lines.append(json.loads(line))
            # Read while the build stands still: it was streamed, not delivered at the end.
            if lines[-1].get("step") == "install_config" and not gate.is_open:
                gate.wait_until_reached()
                gate.open_for_good()
    assert lines[0]["type"] == "build.created"
    assert (lines[-1]["type"], lines[-1]["status"]) == ("build.completed", "active")
    assert lines == operator.journal(str(lines[0]["build_id"]))


def test_config_that_is_only_in_the_cluster_can_be_asked_for_over_http(operator: Operator) -> None:
    with operator.client() as client:
        answer = client.post(_builds(operator, "nowhere"), json={})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_permission_is_missing_and_none_is_needless(operator: Operator, tmp_path: Path) -> None:
    mark = operator.cluster.audit.mark()
    # Keep no history, so that the first sweep has something to ask the pods about.
    assert operator.stop() == 0
    operator.configure(ADE_REPLACED_KEEP_SECONDS="0", ADE_BUILD_HISTORY_LIMIT="0")
    operator.start()
    for name in ("rules", "other"):
        _config_map(operator, name, module_source=f"NAME = {name!r}\n")
        operator.apply("rules", _config_map_spec(name))
        # Its log is copied, so that there is a copy to be removed with it.
        operator.wait_at_rest("rules")
    # A build that takes its time has the copy of its log written over.
    gate = Gate(tmp_path / "gate")
    write_package(operator.sources / "config", "ade-config", while_building=gate.wait_code)
    operator.apply("rules", {"engine": {"path": "engine"}, "config": {"path": "config"}})
    gate.wait_until_reached()
    wait_until(
        lambda: operator.get("rules")["status"].get("log", {}).get("configMaps"),
        what="the copy of the log is begun",
        timeout_s=60,
    )
    gate.open_for_good()
    operator.wait_for("rules", "Ready")
    # The one permission that only some objects need.
    private = {"url": "https://git.example/x", "ref": {"tag": "v1"}, "secretRef": {"name": "none"}}
    operator.apply("private", {**SPEC, "config": {"git": private}})
    stalled = condition_of(operator.wait_for("private", "Stalled"), "Stalled")
    assert stalled["reason"] == "SecretNotFound"
    with operator.client() as client:
        client.post(_builds(operator, "nowhere"), json={})
    operator.kill()
    operator.start()
    granted = {(verb, resource, group) for group, resource, verb in _granted(operator)}

    def used() -> set[tuple[str, str]]:
        entries = operator.cluster.audit.entries(user=operator.user, since=mark)
        assert [e for e in entries if e.code == 403] == []
        # A review of its own permissions is every account's right (system:basic-user).
        asked = [e for e in entries if e.writes or e.verb in ("get", "list", "watch")]
        return {(e.verb, e.resource) for e in asked if not e.resource.startswith("/")}

    wanted = {(verb, resource) for verb, resource, _ in granted}
    try:
        wait_until(lambda: used() >= wanted, what="all of it is used", timeout_s=60)
    except TimeoutError:
        raise AssertionError(f"not used: {wanted - used()}") from None
    assert used() == wanted


def _granted(operator: Operator) -> list[tuple[str, str, str]]:
    role = json.loads(
        operator.cluster.kubectl(
            "get", "role", "-n", operator.namespace, "configbuild-operator", "-o", "json"
        ).stdout
    )
    return [
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def _config_map(operator: Operator, name: str, module_source: str = "") -> None:
    files = package_files("ade-config", module_source=module_source)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": operator.namespace},
        "data": files,
    }
    operator.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def _config_map_spec(name: str) -> dict[str, object]:
    return {"engine": {"path": "engine"}, "config": {"configMap": {"name": name}}}


def _builds(operator: Operator, name: str) -> str:
    return f"/api/v1/workspaces/{operator.namespace}/configs/{name}/builds"


def _writes(operator: Operator, mark: int) -> list[str]:
    # The audit log is written as requests end: one more request of ours comes after theirs.
    marker = f"after-{os.urandom(4).hex()}"
    operator.cluster.kubectl("get", "cb", marker, "-n", operator.namespace, check=False)
    wait_until(
        lambda: any(e.name == marker for e in operator.cluster.audit.entries(since=mark)),
        what="the audit log has caught up",
        timeout_s=10,
    )
    return [
        f"{e.verb} {e.resource} {e.name}"
        for e in operator.cluster.audit.entries(user=operator.user, since=mark)
        if e.writes
    ]
