"""Logs that outlive the operator's disk: copied to ConfigMaps during a build, read from there."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.controlplane import wait_until
from tests.cluster.operation import Operator
from tests.packages import write_package
from tests.waits import Gate

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}


def copied(operator: Operator, name: str = "invoices") -> dict[str, Any]:
    """Wait until the newest build's log is copied whole; returns the object's status."""
    return status_when(operator, lambda status: status.get("log", {}).get("complete") is True)


def status_when(operator: Operator, holds: Any, name: str = "invoices") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = operator.get(name).get("status", {})
        return status if holds(status) else None

    return wait_until(look, what="the status says so", timeout_s=60)


def config_map(operator: Operator, name: str) -> dict[str, Any]:
    body: dict[str, Any] = operator.cluster.get(
        f"/api/v1/namespaces/{operator.namespace}/configmaps/{name}"
    )
    return body


def logs_of_builds(operator: Operator) -> set[str]:
    """Name the ConfigMaps that hold logs."""
    answer = operator.cluster.kubectl(
        "get", "cm", "-n", operator.namespace, "-l", "ade.dev/build-id", "-o", "name"
    )
    return set(answer.stdout.split())


def events(operator: Operator, build_id: str, after_id: int = 0) -> bytes:
    with operator.client() as client:
        answer = client.get(f"/api/v1/builds/{build_id}/events", params={"after_id": after_id})
        assert answer.status_code == httpx.codes.OK
        return answer.content


def test_log_is_copied_to_config_maps_that_status_lists(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    status = copied(operator)
    assert status["log"]["store"] == "configmap"
    assert "problem" not in status["log"]
    lines = b""
    for row in status["log"]["configMaps"]:
        found = config_map(operator, row["name"])
        data = base64.b64decode(found["binaryData"]["events.ndjson.gz"])
        assert found["metadata"]["uid"] == row["uid"]
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert found["immutable"] is True
        assert found["metadata"]["labels"]["ade.dev/build-id"] == status["build"]["id"]
        (owner,) = found["metadata"]["ownerReferences"]
        assert owner["uid"] == operator.get("invoices")["metadata"]["uid"]
        lines += gzip.decompress(data)
    assert lines == events(operator, status["build"]["id"])


def test_plugin_reads_a_log_from_config_maps_with_no_operator_at_all(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    build_id = copied(operator)["build"]["id"]
    whole = events(operator, build_id)
    operator.kill()
    assert plugin(operator, "logs", "invoices", "-o", "ndjson") == whole
    middle = len(whole.splitlines()) // 2
    rest = plugin(operator, "logs", build_id, "-f", "-o", "ndjson", "--after-id", str(middle))
    assert rest == b"".join(whole.splitlines(keepends=True)[middle:])


def test_plugin_follows_a_log_in_config_maps_to_its_end(operator: Operator, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    write_package(operator.sources / "config", "ade-config", while_building=gate.wait_code)
    operator.apply("invoices", SPEC)
    gate.wait_until_reached()
    with subprocess.Popen(
        plugin_argv(operator, "logs", "-f", "invoices", "-o", "ndjson"),
        env=plugin_environment(operator),
        stdout=subprocess.PIPE,
    ) as following:
        assert following.stdout is not None
        first = following.stdout.readline()  # the build goes on only now
        gate.open_for_good()
        read = first + following.stdout.read()
        assert following.wait(timeout=60) == 0
    assert read == events(operator, copied(operator)["build"]["id"])


def plugin(operator: Operator, *arguments: str) -> bytes:
    """Run ``kubectl configbuild`` as somebody with nothing but kubectl."""
    return subprocess.run(
        plugin_argv(operator, *arguments),
        env=plugin_environment(operator),
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout


def plugin_argv(operator: Operator, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "configbuild.cli.kubectl", *arguments, "-n", operator.namespace]


def plugin_environment(operator: Operator) -> dict[str, str]:
    """Give what the plugin needs to run as somebody who may read and do nothing else."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(operator.directory),
        "KUBECONFIG": str(reader(operator)),
        "KUBECTL": str(operator.cluster.assets.kubectl),
    }


def reader(operator: Operator) -> Path:
    """Make an account that may read ConfigBuilds and ConfigMaps; returns its kubeconfig."""
    rules = (("ade.dev", "configbuilds", ["get"]), ("", "configmaps", ["get", "list"]))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": operator.namespace},
        "rules": [
            {"apiGroups": [group], "resources": [resource], "verbs": verbs}
            for group, resource, verbs in rules
        ],
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "reader", "namespace": operator.namespace},
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader", "namespace": operator.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader"}],
    }
    bodies = {"apiVersion": "v1", "kind": "List", "items": [account, role, binding]}
    operator.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(bodies))
    return operator.cluster.service_account_kubeconfig(operator.namespace, "reader")


def test_log_is_read_from_the_store_once_the_disk_is_gone(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    build_id = copied(operator)["build"]["id"]
    with operator.client() as client:
        page = client.get(f"/api/v1/builds/{build_id}/logs").json()
    whole = events(operator, build_id)
    operator.kill()
    shutil.rmtree(operator.logs)
    operator.start()
    assert events(operator, build_id) == whole
    middle = len(whole.splitlines()) // 2
    assert events(operator, build_id, middle) == b"".join(whole.splitlines(keepends=True)[middle:])
    with operator.client() as client:
        assert client.get(f"/api/v1/builds/{build_id}/logs").json() == page
    # Nothing is written anew, and the same is still there for the next process.
    assert operator.get("invoices")["status"]["build"]["id"] == build_id


def test_disk_that_is_lost_during_a_build_takes_at_most_the_last_moments_of_its_log(
    operator: Operator, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    write_package(operator.sources / "config", "ade-config", while_building=gate.wait_code)
    operator.apply("invoices", SPEC)
    gate.wait_until_reached()
    status = status_when(operator, lambda s: s.get("log", {}).get("configMaps"))
    build_id = status["build"]["id"]
    assert status["log"]["complete"] is False
    whole = events(operator, build_id)
    operator.kill()
    shutil.rmtree(operator.logs)
    gate.open_for_good()
    operator.start()
    kept = events(operator, build_id)
    lines = kept.splitlines(keepends=True)
    assert len(lines) > 2
    assert whole.startswith(b"".join(lines[:-1]))
    end = json.loads(lines[-1])
    assert (end["type"], end["reason"]) == ("build.completed", "Interrupted")
    operator.wait_for("invoices", "Ready")


def test_forged_part_counts_as_missing(operator: Operator) -> None:
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    status = copied(operator)
    (row,) = status["log"]["configMaps"]
    forged = config_map(operator, row["name"])
    event = events(operator, status["build"]["id"]).splitlines()[0]
    lie = gzip.compress(event + b"\n" + event.replace(b'"id":1', b'"id":2') + b"\n")
    operator.kill()
    shutil.rmtree(operator.logs)
    operator.cluster.kubectl("delete", "cm", row["name"], "-n", operator.namespace)
    metadata = {key: forged["metadata"][key] for key in ("name", "namespace", "labels")}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "binaryData": {"events.ndjson.gz": base64.b64encode(lie).decode()},
    }
    operator.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    operator.start()
    told = [json.loads(line) for line in events(operator, status["build"]["id"]).splitlines()]
    # What the status itself remembers, and nothing of the forgery.
    assert [event["type"] for event in told] == ["build.created", "build.completed"]
    assert told[1]["status"] == "active"


def test_quota_leaves_the_log_incomplete_and_the_build_alone(operator: Operator) -> None:
    none = {"count/configmaps": "0"}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": operator.namespace},
        "spec": {"hard": none},
    }
    operator.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    # No controller counts here; the API server refuses by what the status says.
    counted = json.dumps({"status": {"hard": none, "used": none}})
    operator.cluster.kubectl(
        *("patch", "resourcequota", "none", "-n", operator.namespace),
        *("--subresource=status", "--type=merge", "-p", counted),
    )
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    status = status_when(operator, lambda s: s.get("log", {}).get("problem"))
    assert "quota" in status["log"]["problem"]
    assert status["log"]["complete"] is False
    assert status["phase"] == "Active"


def test_copy_goes_with_the_record_of_its_build(operator: Operator) -> None:
    operator.apply("invoices", {**SPEC, "history": {"limit": 0}})
    operator.wait_for("invoices", "Ready")
    copied(operator)
    first = logs_of_builds(operator)
    assert first
    operator.cluster.kubectl(
        "annotate", "cb", "invoices", "-n", operator.namespace, "ade.dev/force=1"
    )
    status_when(operator, lambda s: s["build"]["trigger"] == "Forced" and s["phase"] == "Active")
    operator.cluster.kubectl(
        "annotate", "cb", "invoices", "-n", operator.namespace, "ade.dev/force=2", "--overwrite"
    )
    wait_until(
        lambda: not first & logs_of_builds(operator), what="the first copy is removed", timeout_s=60
    )


def test_no_copy_is_made_where_none_is_wanted(operator: Operator) -> None:
    assert operator.stop() == 0
    operator.configure(ADE_LOG_STORE="off")
    operator.start()
    operator.apply("invoices", SPEC)
    status = operator.wait_for("invoices", "Ready")["status"]
    assert "store" not in status["log"]
    assert logs_of_builds(operator) == set()


def test_log_that_was_not_copied_is_copied_after_a_restart(operator: Operator) -> None:
    assert operator.stop() == 0
    operator.configure(ADE_LOG_STORE="off")
    operator.start()
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    assert operator.stop() == 0
    operator.configure(ADE_LOG_STORE="configmap")
    operator.start()
    status = copied(operator)
    assert logs_of_builds(operator) == {
        f"configmap/{row['name']}" for row in status["log"]["configMaps"]
    }
