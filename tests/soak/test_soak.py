"""A bounded soak; ``python -m tests.soak`` runs a longer one."""

from __future__ import annotations

import os
import random
from pathlib import Path

# pytest finds fixtures by the names in a module.
from tests.cluster.conftest import control_plane as control_plane  # noqa: PLC0414
from tests.cluster.conftest import crd as crd  # noqa: PLC0414
from tests.cluster.conftest import namespace as namespace  # noqa: PLC0414
from tests.cluster.controlplane import Cluster
from tests.soak.soak import run

# To have a failure again: its seed is in the output.
SEED = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))


def test_operator_that_is_killed_twenty_times_leaves_one_truth(
    control_plane: Cluster, crd: None, namespace: str, tmp_path: Path
) -> None:
    truth = run(control_plane, namespace, tmp_path, kills=20, seed=SEED)
    assert truth.findings == []
    assert truth.builds > 5
    assert truth.lines > 100
