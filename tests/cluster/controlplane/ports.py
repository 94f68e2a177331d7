"""Pick TCP ports that are free now. They may be taken before the bind: callers try again."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"

# Below the range from which kernels give ports to outgoing connections (32768 and up on
# Linux): those come and go by the thousand in a test run, and one of them could sit on the
# API server's port just when it is restarted.
RANGE = range(20_000, 30_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one control plane, all on the loopback interface."""

    apiserver: int
    etcd: int
    etcd_peer: int


def pick_ports() -> Ports:
    """Return three different ports that were free a moment ago.

    Raises:
        OSError: none was found.
    """
    with ExitStack() as held:  # all at once, so that none is picked twice
        return Ports(
            apiserver=_hold_free_port(held),
            etcd=_hold_free_port(held),
            etcd_peer=_hold_free_port(held),
        )


def _hold_free_port(held: ExitStack) -> int:
    for port in random.sample(RANGE, k=100):
        candidate = socket.socket()
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            candidate.close()
            continue
        held.enter_context(candidate)
        return port
    raise OSError(f"none of 100 ports in {RANGE} is free on {LOOPBACK}")
