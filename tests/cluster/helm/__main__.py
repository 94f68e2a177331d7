"""Find or build Helm and print where it is: ``python -m tests.cluster.helm``."""

from __future__ import annotations

import sys

from tests.cluster.controlplane import ControlPlaneError

from .program import find_or_build_helm

if __name__ == "__main__":
    try:
        print(find_or_build_helm())
    except ControlPlaneError as error:
        sys.exit(str(error))
