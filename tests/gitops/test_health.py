"""Health and actions in Argo CD and Flux, by their own interpreters, over every state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from configbuild.builds.tokens import read_tokens
from configbuild.kube.status import merge_patch
from tests.gitops.recordings import GENERATION, Recording, recordings
from tests.gitops.verdicts import GITOPS, LUA, ROOT, Verdict, action_scripts, ask


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def verdicts(recorded: list[Recording]) -> dict[str, Verdict]:
    said = ask([recording.body for recording in recorded])
    return {recording.name: verdict for recording, verdict in zip(recorded, said, strict=True)}


def test_every_state_of_the_lifecycle_is_recorded(recorded: list[Recording]) -> None:
    page = (ROOT / "docs" / "lifecycle.md").read_text()
    section = page.split("\n## Conditions\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]
    assert {recording.row for recording in recorded} - {""} == set(rows[1:])
    assert len({recording.name for recording in recorded}) == len(recorded)


def test_argo_cd_flux_and_kstatus_say_of_each_state_what_is_so(
    recorded: list[Recording], verdicts: dict[str, Verdict]
) -> None:
    said = {name: _words(verdict) for name, verdict in verdicts.items()}
    assert said == {row.name: row.expected for row in recorded}


def test_nothing_is_said_to_be_done_before_its_generation_was_looked_at(
    recorded: list[Recording],
) -> None:
    edited = [row for row in recorded if row.name != "being deleted" and row.body["status"]]
    said = ask([_edited(row.body) for row in edited])
    expected = ("Progressing", "InProgress", "InProgress")
    assert {row.name: _words(verdict) for row, verdict in zip(edited, said, strict=True)} == {
        row.name: expected for row in edited
    }


def test_condition_of_an_earlier_generation_is_not_taken_for_one_of_this(
    recorded: list[Recording],
) -> None:
    """Were observedGeneration of the status ever ahead of that of a condition, or not there."""
    by_name = {row.name: _edited(row.body) for row in recorded}
    active, failed = by_name["active"], by_name["failed"]
    ahead = {**active, "status": {**active["status"], "observedGeneration": GENERATION + 1}}
    without = {**failed, "status": {"conditions": failed["status"]["conditions"]}}
    for said in ask([ahead, without]):
        assert (said.health.value["status"], said.flux.value) == ("Progressing", "InProgress")


def test_reconciling_outranks_ready(recorded: list[Recording]) -> None:
    """As kstatus has it, should the operator ever tell both."""
    by_name = {row.name: row.body for row in recorded}
    active = by_name["active"]
    (row,) = [row for row in _conditions(by_name["runs"]) if row["type"] == "Reconciling"]
    both = {**active, "status": {**active["status"], "conditions": [*_conditions(active), row]}}
    (said,) = ask([both])
    assert _words(said) == ("Progressing", "InProgress", "InProgress")


def test_object_without_any_status_is_done_for_nobody(recorded: list[Recording]) -> None:
    """The schema's default forbids it; an older CRD does not."""
    body = {key: value for key, value in recorded[0].body.items() if key != "status"}
    (said,) = ask([body])
    assert said.health.value["status"] == "Progressing"
    # CEL cannot ask whether a top-level field is there: Flux asks again until its timeout.
    assert said.flux.error is not None
    assert "status" in said.flux.error


def test_message_names_the_reason_and_what_can_be_used(verdicts: dict[str, Verdict]) -> None:
    def message(name: str) -> str:
        text: str = verdicts[name].health.value["message"]
        return text

    assert message("failed").startswith("NoMatchingDistribution: ")
    assert "check the name" in message("failed")
    assert "can be used" not in message("failed")
    assert "can be used" in message("failed, one stands")
    assert "spec.suspend is true" in message("suspended, and current")
    assert "ade.dev/force: 'not a token'" in message("invalid annotation")


@pytest.mark.parametrize(
    "expression", ["string.upper('x')", "math.floor(1)", "io.open('x')", "os.exit(1)"]
)
def test_script_gets_no_more_than_argo_cd_gives_it(
    expression: str, recorded: list[Recording]
) -> None:
    body = recorded[0].body
    (denied,) = ask([body], health=f"return {{{expression}}}")
    assert denied.health.error is not None
    assert "attempt to index a non-table object(nil)" in denied.health.error
    (allowed,) = ask([body], health="return {tostring(1), require('os').time()}")
    assert allowed.health.error is None


OFFERED = {
    "never seen": {"build", "rebuild", "suspend"},
    "waits": {"build", "rebuild", "suspend", "cancel"},
    "runs": {"build", "rebuild", "suspend", "cancel"},
    "active": {"build", "rebuild", "suspend"},
    "active, with an earlier one": {"build", "rebuild", "suspend", "activate-previous"},
    "failed": {"build", "rebuild", "suspend"},
    "suspended, and current": {"resume"},
}


def test_actions_are_offered_where_they_would_do_something(verdicts: dict[str, Verdict]) -> None:
    for name, expected in OFFERED.items():
        actions = verdicts[name].discovery.value
        assert set(actions) == set(action_scripts())
        offered = {action for action, row in actions.items() if not row["disabled"]}
        assert offered == expected, name


@pytest.mark.parametrize(
    ("action", "annotation"), [("build", "request"), ("rebuild", "force"), ("cancel", "cancel")]
)
def test_action_sets_one_token_that_the_operator_follows(
    action: str, annotation: str, recorded: list[Recording], verdicts: dict[str, Verdict]
) -> None:
    for recording in recorded:
        changed = _change(recording, action, verdicts)
        token = changed["metadata"]["annotations"][f"ade.dev/{annotation}"]
        assert changed == {"metadata": {"annotations": {f"ade.dev/{annotation}": token}}}
        read = read_tokens(changed["metadata"]["annotations"])
        assert (read.values, read.faults) == ({annotation: token}, {})


def test_build_before_is_activated_and_given_up_again(
    recorded: list[Recording], verdicts: dict[str, Verdict]
) -> None:
    (recording,) = [row for row in recorded if row.name == "active, with an earlier one"]
    failed, earlier = recording.body["status"]["history"]
    assert (failed["status"], earlier["status"]) == ("failed", "active")
    chosen = _change(recording, "activate-previous", verdicts)
    assert chosen == {"metadata": {"annotations": {"ade.dev/activate": earlier["id"]}}}
    metadata = {
        **recording.body["metadata"],
        "annotations": {"ade.dev/activate": earlier["id"], "team": "a"},
    }
    pinned = {**recording.body, "metadata": metadata}
    (said,) = ask([pinned])
    assert said.discovery.value["follow-spec"]["disabled"] is False
    given_up = merge_patch(pinned, _restored(said.actions["follow-spec"].value, pinned))
    assert given_up == {"metadata": {"annotations": {"ade.dev/activate": None}}}


def test_build_before_is_not_activated_where_there_is_none(verdicts: dict[str, Verdict]) -> None:
    assert "no earlier build" in (verdicts["active"].actions["activate-previous"].error or "")


def test_suspend_and_resume_change_that_field_alone(
    recorded: list[Recording], verdicts: dict[str, Verdict]
) -> None:
    by_name = {row.name: row for row in recorded}
    suspended = _change(by_name["active"], "suspend", verdicts)
    assert suspended == {"spec": {"suspend": True}}
    resumed = _change(by_name["suspended, and current"], "resume", verdicts)
    assert resumed == {"spec": {"suspend": None}}


def test_config_map_of_argo_cd_holds_the_scripts_that_are_tested() -> None:
    patch = yaml.safe_load((GITOPS / "argocd" / "argocd-cm.yaml").read_text())
    assert (patch["kind"], patch["metadata"]) == ("ConfigMap", {"name": "argocd-cm"})
    data = patch["data"]
    health = data.pop("resource.customizations.health.ade.dev_ConfigBuild")
    actions = yaml.safe_load(data.pop("resource.customizations.actions.ade.dev_ConfigBuild"))
    assert data == {}
    assert health == (LUA / "health.lua").read_text()
    assert actions.pop("discovery.lua") == (LUA / "actions" / "discovery.lua").read_text()
    assert {row["name"]: row["action.lua"] for row in actions.pop("definitions")} == (
        action_scripts()
    )
    assert actions == {}


def test_guide_shows_the_expressions_that_are_tested() -> None:
    guide = (ROOT / "docs" / "gitops.md").read_text()
    sample = (GITOPS / "samples" / "flux" / "sync.yaml").read_text()
    shown = re.findall(r"  healthCheckExprs:\n(?:    .*\n)+", guide)
    assert shown
    assert all(text in sample for text in shown)


def _words(verdict: Verdict) -> tuple[str | None, str | None, str | None]:
    health = verdict.health.value
    status = health["status"] if health else verdict.health.error
    return status, verdict.flux.value or verdict.flux.error, verdict.kstatus.value


def _conditions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = body["status"]["conditions"]
    return rows


def _edited(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "generation": GENERATION + 1}}


def _change(recording: Recording, action: str, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    said = verdicts[recording.name].actions[action]
    assert said.error is None
    return merge_patch(recording.body, _restored(said.value, recording.body))


def _restored(value: Any, before: Any) -> Any:
    """Give back what Lua cannot tell apart, as Argo CD does: an empty list and an empty object."""
    if value == [] and isinstance(before, Mapping):
        return {}
    if isinstance(value, dict) and isinstance(before, Mapping):
        return {key: _restored(item, before.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(before, list):
        return [_restored(*pair) for pair in zip(value, before, strict=True)]
    return value
