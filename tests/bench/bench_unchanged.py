"""An unchanged config is asked for again: what ensure takes then, and that it does nothing else.

A real control plane, the real operator in a process of its own under its own role. Two configs are
active and current: one whose config is a tree of some hundred files, one whose config is a
ConfigMap. ``POST …/builds`` over one kept connection has each looked at again and again; every
answer has to be "Reused existing build". Turn by turn with that go the baselines, which do what
cannot be left out: read the tree and hash it, and get the ConfigMap from the API server, each with
a ``GET /healthz`` on the same connection, which is what HTTP takes alone.

The operator's processor time is read from the kernel's clock of its process, around each look: that
hardly depends on what else the machine does.

Then the objects are edited in ways that change no input: first with an annotation that is not ours,
which asks for nothing, then with ``ade.dev/request``, whose token is written down: one write each.

Whether a subprocess was started is read from the kernel: the page faults of all children that the
operator has reaped (proc(5), ``stat``, ``cminflt``), and the children that it has. No process can
live without a page fault; that the counter counts is seen by the builds before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from configbuild.outcome import REUSED
from tests.bench.report import Figure, print_figures, print_table
from tests.cluster.controlplane import Cluster, ControlPlane, find_or_build, wait_until
from tests.cluster.operation import SERVICE_ACCOUNT, Operator, install_crd, install_rights
from tests.packages import package_files, write_package

SPECS: dict[str, dict[str, Any]] = {
    "tree": {"engine": {"path": "engine"}, "config": {"path": "config"}},
    "config-map": {"engine": {"path": "engine"}, "config": {"configMap": {"name": "rules"}}},
}
TARGET_MS = 50.0

# As the configs of the former service: some hundred files of a few KiB.
FILES_IN_A_TREE = 300
BYTES_IN_A_FILE = 4096

# A ConfigMap holds at most 1 MiB, and most hold far less.
KEYS_IN_A_MAP = 30

# For what takes milliseconds, on a machine that does something else as well.
PATIENCE_S = 120.0

# Objects that are written last, so that what comes before them can be counted.
_LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done while some looks were taken: subprocesses by their page faults, API writes."""

    child_faults: int
    writes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look took, in milliseconds: of time, and of the operator's processor time."""

    took: float
    processor: float


Looks = dict[str, list[Look]]


def run(rounds: int = 200, edits: int = 20) -> list[Figure]:
    """Measure ``rounds`` looks at each config over HTTP, and ``edits`` of both kinds of each."""
    looks: Looks = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-unchanged-") as name,
        stage(Path(name).resolve()) as (operator, api),
        operator.client() as client,
    ):
        asked = _observe(operator, lambda: looks.update(_ask(operator, client, api, rounds)))
        noted = _observe(operator, lambda: _edit(operator, "example.com/note", edits))
        requested = _observe(operator, lambda: _request(operator, edits))
    _print_times(looks)
    return [
        *_time_figures(looks),
        *_figures_of("looks asked for over HTTP", asked, looks=rounds * len(SPECS), writes=0),
        *_figures_of("edits that ask for nothing", noted, looks=edits * len(SPECS), writes=0),
        *_figures_of(
            "looks asked for by annotation", requested, looks=edits * len(SPECS), writes=1
        ),
    ]


@contextmanager
def stage(directory: Path) -> Iterator[tuple[Operator, httpx.Client]]:
    """Have both configs active and current, and a client of the API server."""
    assets = find_or_build()
    with ControlPlane.start(directory / "cluster", assets=assets) as cluster:
        install_crd(cluster)
        namespace = cluster.create_namespace("bench")
        install_rights(cluster, namespace)
        with _api_client(cluster, namespace) as api:
            operator = Operator(cluster, namespace, directory / "operator")
            _write_sources(operator)
            operator.start()
            try:
                _build_all(operator)
                yield operator, api
            finally:
                if operator.process is not None:
                    operator.stop()


def _api_client(cluster: Cluster, namespace: str) -> httpx.Client:
    """Make a client with the rights of the operator."""
    file = cluster.service_account_kubeconfig(namespace, SERVICE_ACCOUNT)
    token = yaml.safe_load(file.read_text())["users"][0]["user"]["token"]
    return httpx.Client(
        base_url=cluster.url,
        headers={"Authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=cluster.ca),
    )


def _write_sources(operator: Operator) -> None:
    write_package(operator.sources / "engine", "ade-engine")
    tree = write_package(operator.sources / "config", "ade-config")
    for number in range(FILES_IN_A_TREE):
        file = tree / "rules" / f"part-{number % 20:02}" / f"rule-{number:03}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_text(number))
    rules = {f"rule-{number:03}.txt": _text(number) for number in range(KEYS_IN_A_MAP)}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rules", "namespace": operator.namespace},
        "data": {**package_files("ade-config"), **rules},
    }
    operator.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))


def _text(number: int) -> str:
    line = f"if row {number} has no total: say so\n"
    return (line * (BYTES_IN_A_FILE // len(line) + 1))[:BYTES_IN_A_FILE]


def _build_all(operator: Operator) -> None:
    for name, spec in SPECS.items():
        operator.apply(name, spec)
    for name in SPECS:
        operator.wait_for(name, "Ready")
    # Each is looked at once more after its build, and its last status may be on the way.
    wait_until(lambda: not _children(operator), what="no command runs", timeout_s=PATIENCE_S)
    assert _child_faults(operator) > 0, "builds were made, and the counter of children is 0"


def _ask(operator: Operator, client: httpx.Client, api: httpx.Client, rounds: int) -> Looks:
    """Ask for both configs and the baselines, turn by turn."""
    namespace, tree = operator.namespace, operator.sources / "config"

    def reuse(name: str) -> None:
        path = f"/api/v1/workspaces/{namespace}/configs/{name}/builds"
        answer = client.post(path, json={"stream": False})
        assert (answer.status_code, answer.json().get("summary")) == (200, REUSED), answer.text

    def get(client: httpx.Client, path: str) -> httpx.Response:
        return client.get(path).raise_for_status()

    ways: dict[str, Callable[[], object]] = {
        "tree": lambda: reuse("tree"),
        "tree alone": lambda: (get(client, "/healthz"), _hash_of(tree)),
        "config-map": lambda: reuse("config-map"),
        "config-map alone": lambda: (
            get(client, "/healthz"),
            get(api, f"/api/v1/namespaces/{namespace}/configmaps/rules"),
        ),
    }
    for way in ways.values():  # the first of each makes the connections
        way()
    return _in_turn(operator, ways, rounds)


def _in_turn(operator: Operator, ways: Mapping[str, Callable[[], object]], rounds: int) -> Looks:
    assert operator.process is not None
    clock = _processor_clock(operator.process.pid)
    looks: Looks = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun, used = time.perf_counter(), time.clock_gettime(clock)
            way()
            took, used = time.perf_counter() - begun, time.clock_gettime(clock) - used
            looks[name].append(Look(took=took * 1000, processor=used * 1000))
    return looks


def _processor_clock(pid: int) -> int:
    """Name the clock of a process's processor time, as clock_getcpuclockid(3) does on Linux."""
    return (~pid << 3) | 2


def _hash_of(tree: Path) -> str:
    """Read a tree and hash it, with no check of anything."""
    digest = hashlib.sha256()
    for folder, _, names in os.walk(tree):
        for name in names:
            with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123 - pathlib is slower
                digest.update(file.read())
    return digest.hexdigest()


def _edit(operator: Operator, annotation: str, edits: int) -> None:
    """Edit an annotation of both again and again, so that the operator is told of each edit."""
    for number in range(edits):
        for name in SPECS:
            _annotate(operator, name, f"{annotation}={number}")


def _request(operator: Operator, edits: int) -> None:
    """Have both looked at by ``ade.dev/request``, each time until that was done."""
    for number in range(edits):
        for name in SPECS:
            _annotate(operator, name, f"ade.dev/request={number}")
            _wait_until_handled(operator, name, str(number))


def _annotate(operator: Operator, name: str, annotation: str) -> None:
    namespace = operator.namespace
    operator.cluster.kubectl("annotate", "cb", name, "-n", namespace, "--overwrite", annotation)


def _wait_until_handled(operator: Operator, name: str, token: str) -> None:
    def handled() -> bool:
        told = operator.get(name)["status"].get("handled", {}).get("request", {})
        return bool(told.get("token") == token)

    wait_until(handled, what=f"request {token} of {name} is handled", timeout_s=PATIENCE_S)


def _observe(operator: Operator, act: Callable[[], None]) -> Done:
    """Count what the operator does because of an act, until it is at rest."""
    faults, since = _child_faults(operator), operator.cluster.audit.mark()
    act()
    _wait_until_at_rest(operator, since)
    assert not _children(operator), "a command runs, and nothing was to be built"
    writes = [
        entry
        for entry in operator.cluster.audit.entries(user=operator.user, since=since)
        if entry.writes and not entry.name.startswith(_LAST)
    ]
    return Done(child_faults=_child_faults(operator) - faults, writes=len(writes))


def _wait_until_at_rest(operator: Operator, since: int) -> None:
    """Have it write something that comes after all that it had to write before.

    It is told of a new object by the watch that has told it of the edits; its status stands in the
    audit log after theirs.
    """
    name = f"{_LAST}-{time.monotonic_ns()}"
    operator.apply(name, {**SPECS["tree"], "suspend": True})
    operator.wait_for(name, "Stalled")

    def logged() -> bool:
        entries = operator.cluster.audit.entries(user=operator.user, since=since)
        return any((one.name, one.resource) == (name, "configbuilds/status") for one in entries)

    wait_until(logged, what=f"the status of {name} is in the audit log", timeout_s=PATIENCE_S)


def _child_faults(operator: Operator) -> int:
    """Page faults, minor and major, of all children that the operator has waited for."""
    assert operator.process is not None
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[8]) + int(fields[10])


def _children(operator: Operator) -> list[int]:
    assert operator.process is not None
    tasks = Path(f"/proc/{operator.process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _print_times(looks: Looks) -> None:
    titles = {
        "tree": f"unchanged, a tree of {FILES_IN_A_TREE} files",
        "tree alone": "GET /healthz, and the same tree hashed (baseline)",
        "config-map": f"unchanged, a ConfigMap of {KEYS_IN_A_MAP} keys",
        "config-map alone": "GET /healthz, and the same ConfigMap (baseline)",
    }
    print_table(
        f"A look at what has not changed, ms, {len(looks['tree'])} of each",
        ["way", "p50", "p99", "fastest", "slowest", "operator's processor, p50"],
        [
            (
                titles[name],
                statistics.median(took := [look.took for look in found]),
                _p99(took),
                min(took),
                max(took),
                statistics.median(look.processor for look in found),
            )
            for name, found in looks.items()
        ],
    )


def _time_figures(looks: Looks) -> Iterator[Figure]:
    measures: dict[str, Callable[[Sequence[float]], float]] = {
        "p50": statistics.median,
        "p99": _p99,
    }
    for name in SPECS:
        for measure, of in measures.items():
            ours = of([look.took for look in looks[name]])
            baseline = of([look.took for look in looks[f"{name} alone"]])
            yield _time_figure(f"unchanged ensure, {name}, {measure}", ours, baseline)
        used = statistics.median(look.processor for look in looks[name])
        yield _time_figure(f"processor time of it, {name}, p50", used, None)


def _time_figure(what: str, ours: float, baseline: float | None) -> Figure:
    return Figure(
        what=what,
        unit="ms",
        ours=ours,
        baseline=baseline,
        ratio=None if baseline is None else ours / baseline,
        target=f"<= {TARGET_MS:.0f} ms",
        met=ours <= TARGET_MS,
    )


def _figures_of(what: str, done: Done, *, looks: int, writes: int) -> Iterator[Figure]:
    """Figures of what was done meanwhile; ``writes``: those of one look."""
    yield Figure(
        what=f"API writes of {looks} {what}",
        unit="writes",
        ours=float(done.writes),
        target=str(writes * looks),
        met=done.writes == writes * looks,
    )
    yield Figure(
        what=f"subprocesses of {looks} {what}",
        unit="page faults",
        ours=float(done.child_faults),
        target="0",
        met=done.child_faults == 0,
    )


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--edits", type=int, default=20)
    options = parser.parse_args()
    print_figures(run(rounds=options.rounds, edits=options.edits))


if __name__ == "__main__":
    main()
