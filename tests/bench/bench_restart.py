"""Restart the operator with many ConfigBuilds that are active and current; against listing alone.

The objects, their statuses, journals and venvs are what a real build leaves: one is built by the
real operator, and the others are made from it on disk and in the API (a venv is a copy of the
receipt and a link to the interpreter). Then a new operator starts. It has reached its steady state
when it has answered, for the object that it looks at last, that the active build is reused, and
has looked at all. The baseline is ``kubectl get --chunk-size=500`` of the same objects as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration, CustomObjectsApi

from configbuild.model import BuildId
from tests.bench.report import Figure, print_figures
from tests.cluster.controlplane import Cluster, ControlPlane, find_or_build, wait_until
from tests.cluster.operation import Operator, install_crd, install_rights
from tests.packages import write_package

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}
TARGET_S = 20.0
TARGET_MIB = 300.0

_AT_ONCE = 16


def run(count: int = 1000) -> list[Figure]:
    """Measure a restart with ``count`` objects."""
    with (
        tempfile.TemporaryDirectory(prefix="configbuild-bench-") as directory,
        ControlPlane.start(Path(directory) / "cluster", assets=find_or_build()) as cluster,
    ):
        install_crd(cluster)
        namespace = cluster.create_namespace("bench")
        install_rights(cluster, namespace)
        operator = Operator(cluster, namespace, Path(directory) / "operator")
        write_package(operator.sources / "engine", "ade-engine")
        write_package(operator.sources / "config", "ade-config")
        model = _build_one(operator)
        asyncio.run(_multiply(cluster, operator, model, count))
        baseline = _list(cluster, namespace)
        return _restart(operator, count, baseline)


def _build_one(operator: Operator) -> dict[str, Any]:
    operator.start()
    operator.apply("model", SPEC)
    model = operator.wait_for("model", "Ready")
    operator.stop()
    return model


async def _multiply(
    cluster: Cluster, operator: Operator, model: dict[str, Any], count: int
) -> None:
    configuration = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(cluster.kubeconfig), client_configuration=configuration
    )
    async with ApiClient(configuration) as client:
        api = CustomObjectsApi(client)
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                await _make(api, operator, model, f"config-{number:05}")

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))


async def _make(
    api: CustomObjectsApi, operator: Operator, model: dict[str, Any], name: str
) -> None:
    where = ("ade.dev", "v1alpha1", operator.namespace, "configbuilds")
    body = {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {"name": name},
        "spec": SPEC,
    }
    created: Any = await api.create_namespaced_custom_object(*where, body)
    build_id = BuildId.new()
    _make_venv(operator, model, name, build_id, created["metadata"]["uid"])
    status = json.loads(
        json.dumps(model["status"]).replace(model["status"]["build"]["id"], build_id)
    )
    status["active"]["venvPath"] = str(operator.venvs / name / build_id.ulid)
    await api.patch_namespaced_custom_object_status(*where, name, {"status": status})


def _make_venv(
    operator: Operator, model: dict[str, Any], name: str, build_id: BuildId, uid: str
) -> None:
    original = Path(model["status"]["active"]["venvPath"])
    venv = operator.venvs / name / build_id.ulid
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(os.path.realpath(original / "bin" / "python"))
    (venv / "ade-runtime").mkdir()
    receipt = copy.deepcopy(json.loads((original / "ade-runtime" / "build.json").read_text()))
    receipt.update(build_id=build_id, uid=uid, config_id=name)
    (venv / "ade-runtime" / "build.json").write_text(json.dumps(receipt))
    journal = operator.logs / f"{BuildId(model['status']['build']['id']).ulid}.ndjson"
    (operator.logs / f"{build_id.ulid}.ndjson").write_text(
        journal.read_text().replace(model["status"]["build"]["id"], build_id)
    )


def _list(cluster: Cluster, namespace: str) -> float:
    begun = time.monotonic()
    listed = cluster.kubectl("get", "cb", "-n", namespace, "-o", "json", "--chunk-size=500")
    took = time.monotonic() - begun
    assert len(json.loads(listed.stdout)["items"]) > 1
    return took


def _restart(operator: Operator, count: int, baseline_s: float) -> list[Figure]:
    mark = operator.cluster.audit.mark()
    begun = time.monotonic()
    operator.start()
    assert operator.process is not None
    with operator.client() as client:
        wait_until(lambda: _idle(operator.process), what="the operator is at rest", timeout_s=300)
        took = time.monotonic() - begun
        for number in (0, count // 2, count - 1):
            url = f"/api/v1/workspaces/{operator.namespace}/configs/config-{number:05}/builds"
            answer = client.post(url, json={})
            assert answer.status_code == 200, answer.text
            assert answer.json()["summary"] == "Reused existing build"
    memory, cpu = _resident_mib(operator.process), _cpu_s(operator.process.pid)
    operator.stop()
    writes = [
        entry
        for entry in operator.cluster.audit.entries(user=operator.user, since=mark)
        if entry.writes
    ]
    return [
        Figure(
            what=f"restart with {count} at rest",
            unit="s",
            ours=took,
            baseline=baseline_s,
            ratio=took / baseline_s,
            target=f"<= {TARGET_S:.0f} s",
            met=took <= TARGET_S,
        ),
        Figure(
            what=f"processor time of that restart, {count}",
            unit="s",
            ours=cpu,
            target=f"<= {TARGET_S:.0f} s",
            met=cpu <= TARGET_S,
        ),
        Figure(
            what=f"resident memory with {count}",
            unit="MiB",
            ours=memory,
            target=f"<= {TARGET_MIB:.0f} MiB",
            met=memory <= TARGET_MIB,
        ),
        Figure(
            what=f"API writes of a restart with {count}",
            unit="writes",
            ours=float(len(writes)),
            target="0",
            met=not writes,
        ),
    ]


def _idle(process: subprocess.Popen[bytes] | None) -> bool:
    """Tell whether a process took no more than a twentieth of a processor for a second."""
    assert process is not None
    before = _cpu_s(process.pid)
    time.sleep(1.0)
    return _cpu_s(process.pid) - before <= 0.05


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(process: subprocess.Popen[bytes]) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("no VmRSS")


def main() -> None:
    """Run this benchmark alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_restart")
    parser.add_argument("--count", type=int, default=1000)
    print_figures(run(parser.parse_args().count))


if __name__ == "__main__":
    main()
