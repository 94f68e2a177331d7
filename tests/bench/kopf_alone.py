"""kopf and nothing else: ``python -m tests.bench.kopf_alone NAMESPACE``, with ``KUBECONFIG``.

The baseline of bench_apply_latency. An event handler in a process of its own, with the operator's
settings and login, writes a line for each object when it is first told of it: ``NAME UNIX_TIME``.
The first line says ``ready``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

import kopf

from configbuild.kube.connection import load_connection
from configbuild.kube.watch import watch_settings
from configbuild.resource import GROUP, PLURAL, VERSION


async def main(namespace: str) -> None:
    """Watch until SIGTERM."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return (await load_connection()).info

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def event(event: kopf.RawEvent, name: str | None, **_: Any) -> None:
        if event["type"] == "ADDED":
            print(name, time.time(), flush=True)

    ready = asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=watch_settings(),
            namespaces=[namespace],
            ready_flag=ready,
        )
    )
    await asyncio.wait(
        {operator, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED
    )
    print("ready", flush=True)
    await operator


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
