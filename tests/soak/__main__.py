"""Soak the operator: ``python -m tests.soak --kills 200 [--seed S]``."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.cluster.controlplane import ControlPlane, find_or_build
from tests.cluster.operation import install_crd
from tests.soak.soak import run


def main() -> int:
    """Run one soak on a control plane of its own; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how often the operator is ended")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the dice")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="configbuild-soak-"))
    with ControlPlane.start(directory / "cluster", assets=find_or_build(report=print)) as cluster:
        install_crd(cluster)
        namespace = cluster.create_namespace("soak")
        place = directory / "operator"
        truth = run(cluster, namespace, place, kills=options.kills, seed=options.seed)
    if truth.findings:
        print(f"what it left is in {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
