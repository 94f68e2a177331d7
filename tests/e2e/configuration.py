"""The configuration of each part of the node. Pure.

What is unusual here lets it run where there is no systemd, cgroups are of version 1 and processes
have no CAP_SYS_RESOURCE, as in a container or a small virtual machine. It does no harm elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.controlplane.member import Member

NODE = Member(name="e2e", address="192.0.2.10")  # of TEST-NET-1 (RFC 5737): nobody's

# Not of the machine: the node's pods see each other, the API server and nothing else.
POD_RANGE = "10.244.0.0/24"

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
CNI_PLUGINS = "/usr/lib/cni"
CGROUP = "configbuild-e2e"
PAUSE_IMAGE = "localhost/pause:e2e"


def containerd(directory: Path, runc: str) -> str:
    """Write containerd's own (TOML)."""
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    lines = [
        "version = 3",
        f"root = '{directory / 'containerd'}'",
        "state = '/run/containerd'",
        "[grpc]",
        f"address = '{CONTAINERD_SOCKET}'",
        f"[{runtime}]",
        "restrict_oom_score_adj = true",
        "disable_apparmor = true",
        f"[{runtime}.containerd]",
        "default_runtime_name = 'runc'",
        f"[{runtime}.containerd.runtimes.runc]",
        "runtime_type = 'io.containerd.runc.v2'",
        f"[{runtime}.containerd.runtimes.runc.options]",
        "SystemdCgroup = false",
        f"BinaryName = '{runc}'",
        f"[{runtime}.cni]",
        f"bin_dirs = ['{CNI_PLUGINS}']",
        f"conf_dir = '{directory / 'cni'}'",
        "[plugins.'io.containerd.cri.v1.images'.pinned_images]",
        f"sandbox = '{PAUSE_IMAGE}'",
    ]
    return "\n".join(lines) + "\n"


def cni() -> dict[str, Any]:
    """Write the pods' network: a bridge of this node's own."""
    return {
        "cniVersion": "1.0.0",
        "name": "e2e",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,  # a pod that reaches itself through its Service
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/run/cni-addresses",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(directory: Path, ca: Path) -> dict[str, Any]:
    """Write the kubelet's."""
    least = dict.fromkeys(("nodefs.available", "imagefs.available"), "1%")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "address": NODE.address,
        "healthzPort": 0,
        "resolvConf": str(directory / "resolv.conf"),
        "podLogsDir": str(directory / "pod-logs"),
        "volumePluginDir": str(directory / "volume-plugins"),
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "localStorageCapacityIsolation": False,
        "failSwapOn": False,
        # A disk that is rather full is no matter of this test's.
        "evictionHard": {"memory.available": "10Mi", "nodefs.inodesFree": "1%", **least},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def kube_proxy(kubeconfig: Path) -> dict[str, Any]:
    """Write kube-proxy's."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": NODE.name,
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        # Not ours to set: nothing of the kernel's outside of this network namespace.
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def volume(path: Path) -> dict[str, Any]:
    """Write the volume that a cluster has for the operator's claim."""
    at_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE.name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "e2e"},
        "spec": {
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            # Not hostPath: to that the kubelet gives no fsGroup.
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [at_node]}]}},
        },
    }


def write(path: Path, what: str | dict[str, Any]) -> Path:
    """Write a configuration: text as it is, the rest as JSON, which is YAML as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(what if isinstance(what, str) else json.dumps(what, indent=2) + "\n")
    return path
