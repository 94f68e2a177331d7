"""What a build that talks costs the API server: all writes of the operator, by resource.

A real control plane and the real operator in a process of its own under its own role. The back end
of a config package runs a producer (``paced.pl``) that writes a mebibyte in ten seconds. The writes
are counted from the API server's audit log, from the creation of the ConfigBuild until the operator
has ended in order: status, Events, and what keeps the log.

The baseline is a build in the same run that is the same and silent.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tests.bench.report import Figure, print_figures, print_table
from tests.cluster.controlplane import Cluster, ControlPlane, find_or_build
from tests.cluster.operation import Operator, install_crd, install_rights
from tests.packages import write_package

PRODUCER = Path(__file__).with_name("paced.pl")
LINE_BYTES = 512
TARGET_WRITES = 20

# For a build of some seconds, on a machine that does something else as well.
PATIENCE_S = 180.0


def talking(lines: int, per_second: int) -> str:
    """Give what a back end does that has its output written by the producer."""
    perl = shutil.which("perl")
    if perl is None:
        raise LookupError("perl writes the lines, and is not there")
    argv = [perl, PRODUCER.name, str(lines), str(per_second), str(LINE_BYTES)]
    return f"import subprocess\nsubprocess.run({argv!r}, check=True)"


def writes_of(
    cluster: Cluster, directory: Path, *, lines: int, while_building: str
) -> tuple[Counter[str], float]:
    """Have one object built by an operator of its own; its writes, and how long the log was."""
    namespace = cluster.create_namespace("bench")
    install_rights(cluster, namespace)
    operator = Operator(cluster, namespace, directory)
    write_package(operator.sources / "engine", "ade-engine")
    config = write_package(operator.sources / "config", "ade-config", while_building=while_building)
    shutil.copy(PRODUCER, config)
    operator.start()
    try:
        since = cluster.audit.mark()
        operator.apply("config", {"engine": {"path": "engine"}, "config": {"path": "config"}})
        built = operator.wait_for("config", "Ready", timeout_s=PATIENCE_S)
    finally:
        operator.stop()
    seconds = _check_log(operator, built["status"]["build"]["id"], lines)
    found = Counter(
        f"{entry.verb} {entry.resource}"
        for entry in cluster.audit.entries(user=operator.user, since=since)
        if entry.writes
    )
    return found, seconds


def _check_log(operator: Operator, build_id: str, lines: int) -> float:
    """See that all that was produced is in the log; the seconds between its first and last line."""
    times = [
        datetime.fromisoformat(event["time"])
        for event in operator.journal(build_id)
        if event["type"] == "build.log" and event["message"].endswith("......")
    ]
    assert len(times) == lines, f"{len(times)} lines of {lines}"
    return (times[-1] - times[0]).total_seconds() if times else 0.0


def measure(cluster: Cluster, directory: Path, *, seconds: int) -> list[Figure]:
    """Build both; returns what came of it."""
    install_crd(cluster)
    lines = 2**20 // LINE_BYTES
    silent, _ = writes_of(cluster, directory / "silent", lines=0, while_building="pass")
    ours, took = writes_of(
        cluster,
        directory / "talking",
        lines=lines,
        while_building=talking(lines, lines // seconds),
    )
    # Output that is held back to the end would be cheap, and no stream.
    assert took > seconds / 2, f"the log came within {took:.1f} s"
    _print(ours, silent, f"API writes of a build with 1 MiB of log in {took:.0f} s")
    total, baseline = ours.total(), silent.total()
    return [
        Figure(
            what="API writes of a build that talks",
            unit="writes",
            ours=float(total),
            baseline=float(baseline),
            ratio=total / baseline,
            target=f"<= {TARGET_WRITES}",
            met=total <= TARGET_WRITES,
        )
    ]


def _print(ours: Mapping[str, int], silent: Mapping[str, int], title: str) -> None:
    kinds = sorted({*ours, *silent})
    rows = [(kind, ours.get(kind, 0), silent.get(kind, 0)) for kind in kinds]
    total = ("in all", sum(ours.values()), sum(silent.values()))
    print_table(title, ["write", "this build", "a silent one"], [*rows, total])


def run(*, seconds: int = 10) -> list[Figure]:
    """Run the benchmark with a control plane of its own; returns its figures."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-api-writes-") as name,
        ControlPlane.start(Path(name).resolve() / "cluster", assets=find_or_build()) as cluster,
    ):
        return measure(cluster, Path(name).resolve(), seconds=seconds)


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="in which the log is written")
    print_figures(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
