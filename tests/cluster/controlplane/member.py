"""A node that takes part in a control plane. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

# The default of kubeadm. Without a node nothing routes it.
SERVICE_RANGE = "10.96.0.0/16"
# Where pods find the API server: the first address of the range, always.
API_SERVICE_ADDRESS = str(next(ipaddress.ip_network(SERVICE_RANGE).hosts()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node by its name, and the address where it and its pods reach the API server."""

    name: str
    address: str
    """Of this machine, and not loopback: pods are in network namespaces of their own."""
