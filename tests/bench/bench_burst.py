"""A burst of new ConfigBuilds from a large and a small namespace: who is built when, and its price.

A real control plane, one real operator for both namespaces under its own role, two builds at once.
Two builds that wait at a gate hold both places. Meanwhile all objects are created, those of the
large namespace first, until each of them stands in line. Then the gates are opened. The order in
which the builds start is read from their journals: the time of the first step.

The baseline is a line without namespaces, first in, first out: the same builds in the order in
which they were queued, by the first events of their journals.

The builds are real and small, and take a while all the same: as soon as twice as many have been
made as the small namespace has, the figures are complete, and the operator is ended.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Figure, print_figures, print_table
from tests.cluster.controlplane import Cluster, ControlPlane, find_or_build, wait_until
from tests.cluster.operation import (
    SERVICE_ACCOUNT,
    Operator,
    condition_of,
    install_crd,
    install_rights,
)
from tests.packages import write_package
from tests.waits import Gate

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}

# The operator's default.
PLACES = 2

# A build that waits has more to tell than one that does not: its place in the line, as it moves up.
TARGET_WRITES_RATIO = 2.0

# A build takes about half a second on a machine that does nothing else.
PATIENCE_PER_BUILD_S = 10.0

# How often a thousand journals are read.
LOOK_S = 2.0

_COLUMNS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a journal tells of a build; times as they are written, so that they sort."""

    namespace: str
    name: str
    queued: str
    started: str | None
    ended: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """API writes of one build, on the average."""

    statuses: float
    events: float


def run(large: int = 900, small: int = 100) -> list[Figure]:
    """Measure a burst of so many objects in two namespaces."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-burst-") as name,
        stage(Path(name).resolve(), waiting=large + small) as (operator, other),
    ):
        alone = _build_alone(operator, other)
        since = operator.cluster.audit.mark()
        wanted = {operator.namespace: large, other: small}
        burst = {space: _burst_names(space, count) for space, count in wanted.items()}
        names = {name for names in burst.values() for name in names}
        with _places_held(operator):
            for namespace, of_namespace in burst.items():
                _create(operator, namespace, of_namespace)
            queued = _wait_until_queued(operator, names)
        starts = _wait_until_built(operator, names, first=2 * small)
        writes = _writes(operator, [told.name for told in starts], since)
    print(f"{len(starts)} of {len(queued)} were built; the others were left in line")
    _print_order(starts, other)
    _print_writes(writes, alone)
    return [*_order_figures(starts, queued, other), _writes_figure(writes, alone)]


@contextmanager
def stage(directory: Path, *, waiting: int) -> Iterator[tuple[Operator, str]]:
    """Have an operator run that serves two namespaces: its own, and one more (the name)."""
    assets = find_or_build()
    with ControlPlane.start(directory / "cluster", assets=assets) as cluster:
        install_crd(cluster)
        own, other = cluster.create_namespace("large"), cluster.create_namespace("small")
        for namespace in (own, other):
            install_rights(cluster, namespace)
        _let_serve(cluster, own, other)
        settings = {
            "ADE_MAX_CONCURRENCY": str(PLACES),
            "ADE_QUEUE_LIMIT": str(waiting + PLACES),
        }
        operator = Operator(cluster, own, directory / "operator", settings=settings, also=[other])
        for namespace in (own, other):
            sources = operator.sources.parent / namespace
            write_package(sources / "engine", "ade-engine")
            write_package(sources / "config", "ade-config")
        operator.start()
        try:
            yield operator, other
        finally:
            if operator.process is not None:
                operator.kill()


def _let_serve(cluster: Cluster, own: str, other: str) -> None:
    """Give the operator of one namespace the shipped role in the other, too."""
    account = f"--serviceaccount={own}:{SERVICE_ACCOUNT}"
    role = f"--role={SERVICE_ACCOUNT}"
    cluster.kubectl("create", "rolebinding", f"serve-{own}", "-n", other, role, account)


def _build_alone(operator: Operator, other: str) -> Writes:
    """Build one object in each namespace with nothing in line: the baseline for writes."""
    since = operator.cluster.audit.mark()
    names = []
    for namespace in (operator.namespace, other):
        names.append(f"alone-{namespace}")
        _create(operator, namespace, names[-1:])
        _wait_until_ready(operator, names[-1:])
    return _writes(operator, names, since)


@contextmanager
def _places_held(operator: Operator) -> Iterator[None]:
    """Have every place for a build taken by one that waits, until the end of the block."""
    gates = [Gate(operator.directory / f"gate-{number}") for number in range(PLACES)]
    try:
        for number, gate in enumerate(gates):
            name = f"held-{number}"
            write_package(operator.sources / name, "ade-config", while_building=gate.wait_code)
            operator.apply(name, {**SPEC, "config": {"path": name}})
            os.close(gate.wait_until_reached())
        yield
    finally:
        for gate in gates:
            gate.open_for_good()


def _create(operator: Operator, namespace: str, names: Sequence[str]) -> None:
    items = [
        {
            "apiVersion": "ade.dev/v1alpha1",
            "kind": "ConfigBuild",
            "metadata": {"name": name, "namespace": namespace},
            "spec": SPEC,
        }
        for name in names
    ]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    operator.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))


def _burst_names(namespace: str, count: int) -> list[str]:
    """Name the objects; by the namespace too, since the audit log is searched by names."""
    return [f"{namespace}-{number:04}" for number in range(count)]


def _wait_until_queued(operator: Operator, burst: set[str]) -> list[Told]:
    """Wait until all are in line; these, in the order in which they came."""

    def queued() -> list[Told]:
        found = _told(operator, burst)
        return found if len(found) == len(burst) else []

    return wait_until(
        queued,
        what=f"{len(burst)} builds are in line",
        timeout_s=len(burst) * PATIENCE_PER_BUILD_S,
        interval_s=LOOK_S,
    )


def _wait_until_built(operator: Operator, burst: set[str], *, first: int) -> list[Told]:
    """Wait until so many have been built; these, in the order of their starts."""

    def built() -> list[Told]:
        starts = _in_order_of_start(operator, burst)[:first]
        return starts if len(starts) == first and all(told.ended for told in starts) else []

    starts = wait_until(
        built,
        what=f"{first} builds have ended",
        timeout_s=first * PATIENCE_PER_BUILD_S,
        interval_s=LOOK_S,
    )
    assert {told.ended for told in starts} == {"active"}
    _wait_until_ready(operator, [told.name for told in starts])
    return starts


def _wait_until_ready(operator: Operator, names: Sequence[str]) -> None:
    def ready() -> bool:
        listed = operator.cluster.kubectl("get", "cb", "--all-namespaces", "-o", "json").stdout
        found = {
            body["metadata"]["name"]
            for body in json.loads(listed)["items"]
            if condition_of(body, "Ready").get("status") == "True"
        }
        return found.issuperset(names)

    wait_until(
        ready,
        what=f"{len(names)} objects are ready",
        timeout_s=len(names) * PATIENCE_PER_BUILD_S,
        interval_s=LOOK_S,
    )


def _told(operator: Operator, burst: set[str]) -> list[Told]:
    """Read the journals of a burst's builds, those queued first in front."""
    found = [_read(path) for path in operator.logs.glob("*.ndjson")]
    return sorted((told for told in found if told.name in burst), key=lambda told: told.queued)


def _read(journal: Path) -> Told:
    text = journal.read_text()
    events = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    created, last = events[0], events[-1]
    return Told(
        namespace=created["workspace_id"],
        name=created["config_id"],
        queued=created["time"],
        started=next((it["time"] for it in events if it["type"] == "build.step"), None),
        ended=last["status"] if last["type"] == "build.completed" else None,
    )


def _in_order_of_start(operator: Operator, burst: set[str]) -> list[Told]:
    begun = [(told.started, told) for told in _told(operator, burst) if told.started is not None]
    return [told for _, told in sorted(begun, key=lambda pair: pair[0])]


def _writes(operator: Operator, names: Sequence[str], since: int) -> Writes:
    """Count in the audit log what was written about some objects."""
    entries = [
        entry
        for entry in operator.cluster.audit.entries(user=operator.user, since=since)
        if entry.writes and entry.code < 400
    ]
    of = Counter((entry.resource, entry.name.split(".")[0]) for entry in entries)
    return Writes(
        statuses=sum(of["configbuilds/status", name] for name in names) / len(names),
        events=sum(of["events", name] for name in names) / len(names),
    )


def _longest_run(order: Sequence[Told], waiting: Mapping[str, int]) -> int:
    """Measure the longest run of one namespace while the other had builds in line."""
    left, longest, run = dict(waiting), 0, 0
    before = ""
    for told in order:
        run = run + 1 if told.namespace == before else 1
        before = told.namespace
        left[told.namespace] -= 1
        if all(count for name, count in left.items() if name != told.namespace):
            longest = max(longest, run)
    return longest


def _place_of_last(order: Sequence[Told], namespace: str) -> int:
    return max(place for place, told in enumerate(order, 1) if told.namespace == namespace)


def _order_figures(starts: Sequence[Told], queued: Sequence[Told], small: str) -> list[Figure]:
    waiting = Counter(told.namespace for told in queued)
    first, many = len(starts), waiting[small]
    # Whoever had not started by then started later, at best in the order of the line.
    begun = {told.name for told in starts}
    ours = [*starts, *(told for told in queued if told.name not in begun)]
    among = sum(told.namespace == small for told in starts)
    among_fifo = sum(told.namespace == small for told in queued[:first])
    last, last_fifo = _place_of_last(ours, small), _place_of_last(queued, small)
    run, run_fifo = _longest_run(starts, waiting), _longest_run(queued, waiting)
    # Two that start at once may be seen to start in either order.
    return [
        Figure(
            what=f"builds of the small namespace among the first {first}",
            unit="builds",
            ours=float(among),
            baseline=float(among_fifo),
            target=f">= {many - 1}",
            met=among >= many - 1,
        ),
        Figure(
            what="starts up to the last of the small namespace",
            unit="starts",
            ours=float(last),
            baseline=float(last_fifo),
            ratio=last / last_fifo,
            target=f"<= {2 * many + 1}",
            met=last <= 2 * many + 1,
        ),
        Figure(
            what="longest run of one while the other waits",
            unit="starts",
            ours=float(run),
            baseline=float(run_fifo),
            ratio=run / run_fifo,
            target=f"<= {PLACES}",
            met=run <= PLACES,
        ),
    ]


def _writes_figure(writes: Writes, alone: Writes) -> Figure:
    ours, baseline = writes.statuses + writes.events, alone.statuses + alone.events
    return Figure(
        what="API writes of a build in the burst",
        unit="writes",
        ours=ours,
        baseline=baseline,
        ratio=ours / baseline,
        target=f"ratio <= {TARGET_WRITES_RATIO:.0f}",
        met=ours / baseline <= TARGET_WRITES_RATIO,
    )


def _print_order(starts: Sequence[Told], small: str) -> None:
    letters = "".join("s" if told.namespace == small else "L" for told in starts)
    print("\nThe order of starts; L: of the large namespace, s: of the small one\n")
    for begin in range(0, len(letters), _COLUMNS):
        print(letters[begin : begin + _COLUMNS])


def _print_writes(writes: Writes, alone: Writes) -> None:
    print_table(
        "API writes of a build, on the average",
        ["when", "statuses", "Events"],
        [
            ("in the burst", writes.statuses, writes.events),
            ("with nothing in line (baseline)", alone.statuses, alone.events),
        ],
    )


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=900)
    parser.add_argument("--small", type=int, default=100)
    options = parser.parse_args()
    print_figures(run(large=options.large, small=options.small))


if __name__ == "__main__":
    main()
