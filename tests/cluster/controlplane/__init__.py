"""A real Kubernetes control plane for tests and for the demo: no node, no registry.

etcd, kube-apiserver and kube-controller-manager run as child processes of whoever
starts them, with certificates, ports and a data directory of their own.

Read in this order: `plane` (what is started and how it ends), `flags` (with which
options), `cluster` (what a test does with it), `audit` (what the API server saw),
`assets` and `build` (where the programs come from), `shared` (one control plane for
a whole pytest run). Nothing in here knows about ConfigBuild.

One trap: the garbage collector looks for new kinds every 30 s only. What a custom
resource owns is collected at once when its CRD is older than that, but up to 40 s late
right after the CRD was installed: install it once a run, and early.
"""

from .assets import Assets, find_or_build
from .audit import AuditEntry, AuditLog
from .cluster import Cluster
from .errors import (
    ApiError,
    AssetsError,
    ControlPlaneError,
    KubectlError,
    StartError,
)
from .plane import ControlPlane
from .waiting import wait_until

__all__ = [
    "ApiError",
    "Assets",
    "AssetsError",
    "AuditEntry",
    "AuditLog",
    "Cluster",
    "ControlPlane",
    "ControlPlaneError",
    "KubectlError",
    "StartError",
    "find_or_build",
    "wait_until",
]
