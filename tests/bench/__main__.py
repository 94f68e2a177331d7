"""Run benchmarks and print one table: ``python -m tests.bench [NAME…]``; all where none is named.

Whether a target is met is a word in the table. The exit code says whether the figures are to be
trusted: 1 if a benchmark could not run, or found that something it measured was not done right.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable

from tests.bench import (
    bench_api_writes,
    bench_apply_latency,
    bench_burst,
    bench_live,
    bench_log_path,
    bench_rebuild,
    bench_replay,
    bench_restart,
    bench_sandbox,
    bench_stalled,
    bench_unchanged,
    bench_warm_build,
)
from tests.bench.report import Figure, machine, print_figures

BENCHES: dict[str, Callable[[], list[Figure]]] = {
    "log_path": bench_log_path.run,
    "live": bench_live.run,
    "replay": bench_replay.run,
    "stalled": bench_stalled.run,
    "api_writes": bench_api_writes.run,
    "warm_build": bench_warm_build.run,
    "apply_latency": bench_apply_latency.run,
    "restart": bench_restart.run,
    "unchanged": bench_unchanged.run,
    "burst": bench_burst.run,
    "sandbox": bench_sandbox.run,
    "rebuild": bench_rebuild.run,
}


def main() -> int:
    """Run what was named, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHES)}")
    names: list[str] = parser.parse_args().names or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    print(machine())
    figures, failed = [], []
    for name in names:
        print(f"\n== {name} ".ljust(80, "="), flush=True)
        begun = time.monotonic()
        try:
            figures += BENCHES[name]()
        except Exception:  # noqa: BLE001 - whatever it is, the others can still run
            traceback.print_exc()
            failed.append(name)
        print(f"\n({name}: {time.monotonic() - begun:.0f} s)", flush=True)
    if figures:
        print_figures(figures, title="All figures")
    for name in failed:
        print(f"{name} gave no figures: see its error above", file=sys.stderr)
    return 1 if failed else os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
