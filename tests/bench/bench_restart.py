"""Restart the operator with many ConfigBuilds that are active and current; against listing alone.

One is built by the real operator, and the others are made from it (`tests/cluster/crowd.py`). Then
a new operator starts. It has reached its steady state when it has answered, for the object that it
looks at last, that the active build is reused, and has looked at all. The baseline is
``kubectl get --chunk-size=500`` of the same objects as JSON. Ten seconds after its start it lists
all objects once more and sweeps the disk; what that takes is told beside it. Then it is watched at
rest: a list and a sweep count with the three hundredth part that falls on a second.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.report import Figure, print_figures
from tests.cluster.controlplane import Cluster, ControlPlane, find_or_build, wait_until
from tests.cluster.crowd import multiply
from tests.cluster.operation import Operator, install_crd, install_rights
from tests.packages import write_package

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}
TARGET_S = 20.0
TARGET_MIB = 300.0
# With 1,000 at rest, and 300 MiB with 5,000.
TARGET_REST_MIB = 150.0
TARGET_REST_PERCENT = 0.5

# How long it is watched at rest. Meanwhile no complete list is made; its share is reckoned in.
REST_S = 30.0
RELIST_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What a measurement starts from: an operator that is stopped, and so many objects at rest."""

    operator: Operator
    count: int


def run(count: int = 1000) -> list[Figure]:
    """Measure a restart with ``count`` objects, of a control plane that lives as long as that."""
    with (
        tempfile.TemporaryDirectory(prefix="configbuild-bench-") as directory,
        ControlPlane.start(Path(directory) / "cluster", assets=find_or_build()) as cluster,
    ):
        return _measure(_prepare(cluster, Path(directory), count))


def run_again(directory: Path, count: int) -> list[Figure]:
    """Measure with what lies in ``directory``, whose control plane somebody else keeps running.

    The objects are made the first time, and found the next. Start the control plane with
    ``python -m tests.cluster.controlplane up --directory DIR/cluster``.
    """
    cluster = Cluster.load(directory / "cluster")
    note = directory / "prepared.json"
    if not note.exists():
        made = _prepare(cluster, directory, count)
        note.write_text(json.dumps({"namespace": made.operator.namespace, "count": count}))
        return _measure(made)
    known = json.loads(note.read_text())
    if known["count"] != count:
        raise SystemExit(f"{directory} holds {known['count']} objects, not {count}")
    operator = Operator(cluster, known["namespace"], directory / "operator")
    return _measure(_Prepared(operator=operator, count=count))


def _prepare(cluster: Cluster, directory: Path, count: int) -> _Prepared:
    install_crd(cluster)
    namespace = cluster.create_namespace("bench")
    install_rights(cluster, namespace)
    operator = Operator(cluster, namespace, directory / "operator")
    write_package(operator.sources / "engine", "ade-engine")
    write_package(operator.sources / "config", "ade-config")
    names = [f"config-{number:05}" for number in range(count)]
    multiply(operator, _build_one(operator), names)
    return _Prepared(operator=operator, count=count)


def _measure(prepared: _Prepared) -> list[Figure]:
    operator = prepared.operator
    baseline = _list(operator.cluster, operator.namespace)
    return _restart(operator, prepared.count, baseline)


def _build_one(operator: Operator) -> dict[str, Any]:
    operator.start()
    operator.apply("model", SPEC)
    model = operator.wait_at_rest("model")
    operator.stop()
    return model


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
        cpu = _cpu_s(operator.process.pid)
        wait_until(lambda: _swept(operator, mark), what="the first sweep is over", timeout_s=300)
    memory, cpu_swept = _resident_mib(operator.process), _cpu_s(operator.process.pid)
    time.sleep(REST_S)  # a measurement of what is done while nothing is to do
    at_rest = (_cpu_s(operator.process.pid) - cpu_swept) / REST_S + (cpu_swept - cpu) / RELIST_S
    operator.stop()
    writes = [
        entry
        for entry in operator.cluster.audit.entries(user=operator.user, since=mark)
        if entry.writes
    ]
    target_mib = TARGET_REST_MIB if count <= 1000 else TARGET_MIB
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
            what=f"the same with the first sweep, {count}",
            unit="s",
            ours=cpu_swept,
            target="none",
            met=True,
        ),
        Figure(
            what=f"resident memory with {count}",
            unit="MiB",
            ours=memory,
            target=f"<= {target_mib:.0f} MiB",
            met=memory <= target_mib,
        ),
        Figure(
            what=f"of a core at rest with {count}, lists and sweeps with their share",
            unit="%",
            ours=at_rest * 100,
            target=f"<= {TARGET_REST_PERCENT:g} % with 1000",
            met=at_rest * 100 <= TARGET_REST_PERCENT or count > 1000,
        ),
        Figure(
            what=f"API writes of a restart and at rest with {count}",
            unit="writes",
            ours=float(len(writes)),
            target="0",
            met=not writes,
        ),
    ]


def _swept(operator: Operator, mark: int) -> bool:
    """Tell whether all objects were listed a third time, after our list and kopf's, and then swept.

    All three are lists by pages of the same size.
    """
    listed = [
        entry
        for entry in operator.cluster.audit.entries(user=operator.user, since=mark)
        if (entry.verb, entry.resource) == ("list", "configbuilds")
    ]
    page = 500
    objects = len(list(operator.venvs.iterdir()))
    return len(listed) >= 3 * math.ceil(objects / page) and _idle(operator.process)


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
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep the objects in DIR for the next time; a control plane must run in DIR/cluster",
    )
    options = parser.parse_args()
    print_figures(run_again(options.keep, options.count) if options.keep else run(options.count))


if __name__ == "__main__":
    main()
