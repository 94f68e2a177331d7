"""The scenes of the demo; see :mod:`tests.demo`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import ROOT, Operator, condition_of, install_crd, install_rights
from tests.demo.show import Show, expect

SAMPLES = ROOT / "manifests" / "samples"
NAMESPACE = "team-a"

_BUILD_TIMEOUT_S = 300.0


def build_without_a_cluster(show: Show, workdir: Path) -> None:
    """Build a sample with the command line alone."""
    argv = [
        *("build", "-f", "manifests/samples/local.yaml"),
        *("--sources", "manifests/samples/sources"),
    ]
    show.command("configbuild", *argv)
    subprocess.run(
        [sys.executable, "-m", "configbuild.cli.main", *argv, "--workdir", str(workdir)],
        cwd=ROOT,
        check=True,
    )


def start_operator(show: Show, cluster: Cluster, directory: Path) -> Operator:
    """Install what a cluster administrator would, and start the operator under its own role."""
    _kubectl(show, cluster, "create", "namespace", NAMESPACE)
    show.command("kubectl", "apply", "-f", "crds/configbuilds.ade.dev.yaml")
    install_crd(cluster)
    show.say("  (served)")
    show.say("The operator runs here as a process, as the ServiceAccount and with just the Role")
    show.say("of manifests/base:")
    install_rights(cluster, NAMESPACE)
    operator = Operator(cluster, NAMESPACE, directory)
    shutil.copytree(SAMPLES / "sources", operator.sources, dirs_exist_ok=True)
    show.command("configbuild", "operator", "--namespace", NAMESPACE)
    operator.start()
    show.say(f"  ready at {operator.url}")
    return operator


def first_builds(show: Show, operator: Operator, samples: Path) -> dict[str, Any]:
    """Apply the samples, watch one live, see both ready; returns the invoices' status."""
    apply_samples(show, operator, samples)
    follow(show, operator, "invoices")
    status: dict[str, Any] = operator.wait_for("invoices", "Ready")["status"]
    show.say("The other sample is installed with pip, which takes longer:")
    operator.wait_for("timesheets", "Ready", timeout_s=_BUILD_TIMEOUT_S)
    get(show, operator)
    run_engine(show, operator, status)
    return status


def rebuild_after_an_edit(
    show: Show, operator: Operator, samples: Path, before: dict[str, Any]
) -> dict[str, Any]:
    """Edit a rule; the active build stands until the new one is verified."""
    manifest = samples / "invoices" / "manifest.json"
    rules = json.loads(manifest.read_text())
    rules["title"] = "Invoices, edited"
    manifest.write_text(json.dumps(rules, indent=2) + "\n")
    show.say('The rules get another title, "Invoices, edited":')
    apply_samples(show, operator, samples)
    during = _status_when(operator, lambda status: status["build"]["id"] != before["build"]["id"])
    available = condition_of({"status": during}, "Available")["status"]
    show.say(f"  while {during['build']['id']} is {during['build']['status']}:")
    show.say(f"  active is {during['active']['buildId']}, Available={available}")
    expect(during["active"] == before["active"], "the active build stands while another runs")
    after: dict[str, Any] = operator.wait_for("invoices", "Ready")["status"]
    expect(after["active"]["buildId"] != before["active"]["buildId"], "the pointer has moved")
    changed = ", ".join(after["build"]["changed"])
    show.say(f"  now active: {after['active']['buildId']}")
    show.say(f"  trigger {after['build']['trigger']}, changed: {changed}")
    run_engine(show, operator, after)
    return after


def apply_unchanged(show: Show, operator: Operator, samples: Path, before: dict[str, Any]) -> None:
    """Apply the same again; the API server's audit log shows that the operator writes nothing."""
    mark = operator.cluster.audit.mark()
    apply_samples(show, operator, samples)
    with operator.client() as client:
        url = f"/api/v1/workspaces/{NAMESPACE}/configs/invoices/builds"
        show.command("curl", "--json", "{}", f"{operator.url}{url}")
        answer = client.post(url, json={}).json()
    show.output(f"{answer['id']}: {answer['summary']}")
    expect(answer["id"] == before["active"]["buildId"], "the same build is reused")
    writes = [
        entry
        for entry in operator.cluster.audit.entries(user=operator.user, since=mark)
        if entry.writes
    ]
    show.say(f"  API writes of the operator, from the audit log: {len(writes)}")
    expect(not writes, "nothing is written when nothing changed")


def apply_samples(show: Show, operator: Operator, samples: Path) -> None:
    """Apply the samples with kustomize, as a person would."""
    name = samples.relative_to(ROOT) if samples.is_relative_to(ROOT) else samples
    show.command("kubectl", "apply", "-n", NAMESPACE, "-k", str(name))
    done = operator.cluster.kubectl("apply", "-n", NAMESPACE, "-k", str(samples))
    show.output(done.stdout)


def follow(show: Show, operator: Operator, name: str) -> None:
    """Follow a build's NDJSON stream live; shows the first lines raw and then the steps."""
    url = f"/api/v1/workspaces/{NAMESPACE}/configs/{name}/builds"
    body = '{"stream": true}'
    show.command("curl", "-N", "--json", body, f"{operator.url}{url}")
    logs = 0
    with (
        operator.client() as client,
        client.stream("POST", url, json={"stream": True}) as answer,
    ):
        for line in answer.iter_lines():
            if not line:
                continue
            event = json.loads(line)
            if event["type"] == "build.log":
                logs += 1
                continue
            show.output(_told(event, line, logs))
            logs = 0
    expect(event["type"] == "build.completed", "the last event is build.completed")
    expect(event["status"] == "active", f"the build succeeds: {event}")


def get(show: Show, operator: Operator) -> None:
    """Show the resources as kubectl does."""
    _kubectl(show, operator.cluster, "get", "configbuilds", "-n", NAMESPACE)


def run_engine(show: Show, operator: Operator, status: dict[str, Any]) -> None:
    """Run a program with the built venv, on a real file."""
    python = f"{status['active']['venvPath']}/bin/python"
    data = "manifests/samples/data/invoices.xlsx"
    arguments = ["-I", "-B", "-m", "ade_engine", "run", "--input", data]
    show.command(".../bin/python", *arguments, "--output", "invoices.csv")
    output = operator.directory / "invoices.csv"
    ran = subprocess.run(
        [python, *arguments, "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    show.output(ran.stdout + ran.stderr)
    show.output("\n".join(output.read_text().splitlines()[:3]) + "\n…")


def _told(event: dict[str, Any], line: str, logs: int) -> str:
    if event["type"] == "build.created":
        return line
    if event["type"] == "build.completed":
        return line
    before = f"({logs} log lines)\n" if logs else ""
    took = f" {event['duration_ms']} ms" if event["duration_ms"] is not None else ""
    return f"{before}{event['id']:>4} {event['step']:<17}{event['status']:<10}{took}"


def _status_when(operator: Operator, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = operator.get("invoices")["status"]
        return status if holds(status) else None

    return wait_until(look, what="the status says so", timeout_s=30)


def _kubectl(show: Show, cluster: Cluster, *arguments: str) -> None:
    show.command("kubectl", *arguments)
    show.output(cluster.kubectl(*arguments).stdout)
