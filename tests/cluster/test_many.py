"""Many objects: a thousand at rest cost no write, and more than may wait all get their turn."""

from __future__ import annotations

import json

from configbuild.model import BuildId
from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.crowd import multiply
from tests.cluster.operation import Operator
from tests.cluster.trouble import SPEC, Prepare

COUNT = 1000

# The first complete list with its sweep comes 10 s after a start.
LISTED_S = 60.0

# Who finds no room tries again after 2, 4, 8, 16 … s.
ALL_BUILT_S = 120.0


def test_start_and_a_complete_list_with_1000_objects_at_rest_write_nothing(
    control_plane: Cluster, crd: None, prepare: Prepare
) -> None:
    operator = prepare(control_plane)
    operator.start()
    operator.apply("model", SPEC)
    model = operator.wait_at_rest("model")
    assert operator.stop() == 0
    # A sweep without any grace: what it takes for orphaned it removes.
    operator.configure(ADE_ORPHAN_GRACE_SECONDS="0", ADE_REPLACED_KEEP_SECONDS="0")
    multiply(operator, model, [f"config-{number:04}" for number in range(COUNT - 1)])
    before, venvs, journals = operator.get_all(), _venvs(operator), _journals(operator)
    assert len(before) == len(venvs) == len(journals) == COUNT

    orphan = BuildId.new()
    strays = [operator.venvs / "zz-nobody" / orphan.ulid, operator.logs / f"{orphan.ulid}.ndjson"]
    strays[0].mkdir(parents=True)
    strays[1].touch()
    mark = control_plane.audit.mark()
    operator.start()
    # They are swept last of all, after a complete list.
    wait_until(
        lambda: not any(path.exists() for path in strays),
        what="all is listed and swept",
        timeout_s=LISTED_S,
    )
    # The object that is looked at last is current: all others have been looked at.
    with operator.client() as client:
        url = f"/api/v1/workspaces/{operator.namespace}/configs/model/builds"
        answer = client.post(url, json={})
    assert (answer.status_code, answer.json()["summary"]) == (200, "Reused existing build")
    assert operator.stop() == 0
    requests = control_plane.audit.entries(user=operator.user, since=mark)
    assert [(e.verb, e.resource, e.name) for e in requests if e.writes] == []
    listed = [e for e in requests if (e.verb, e.resource) == ("list", "configbuilds")]
    assert len(listed) >= 3, "at the start, by the watch, and before the sweep"
    assert (operator.get_all(), _venvs(operator), _journals(operator)) == (before, venvs, journals)


def test_more_objects_at_once_than_may_wait_are_all_built_in_the_end(
    control_plane: Cluster, crd: None, prepare: Prepare
) -> None:
    operator = prepare(control_plane, ADE_MAX_CONCURRENCY="1", ADE_QUEUE_LIMIT="3")
    operator.start()
    # All are looked at together, and each finds room before any has taken it.
    names = [f"config-{number}" for number in range(10)]
    items = [
        {
            "apiVersion": "ade.dev/v1alpha1",
            "kind": "ConfigBuild",
            "metadata": {"name": name, "namespace": operator.namespace},
            "spec": SPEC,
        }
        for name in names
    ]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    operator.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    for name in names:
        operator.wait_for(name, "Ready", timeout_s=ALL_BUILT_S)
    assert "(ADE_QUEUE_LIMIT); try again later" in operator.log
    # One build each, and nothing of those for which there was no room.
    assert len(_journals(operator)) == len(_venvs(operator)) == len(names)


def _venvs(operator: Operator) -> list[str]:
    return sorted(str(path) for path in operator.venvs.glob("*/*"))


def _journals(operator: Operator) -> list[str]:
    return sorted(path.name for path in operator.logs.iterdir())
