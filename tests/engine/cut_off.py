"""Builds where nothing of any network is reached, as a program of its own.

usage: ``unshare --map-root-user --net python cut_off.py DIRECTORY INSTALLER SANDBOX [WHEELHOUSE]``.
The kernel gives the new network namespace one interface, loopback, which is down: not even that is
reached, by whomever and however. SANDBOX is ``on`` or ``off``.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

from tests.engine.support import Bench


async def main(directory: Path, installer: str, sandbox: str, house: Path | None) -> None:
    """See that there is no network, build, and tell how that ended."""
    for address in ("127.0.0.1", "192.0.2.1"):
        with socket.socket() as client:
            assert client.connect_ex((address, 443)) == errno.ENETUNREACH, address
    bench = await Bench.at(directory)
    attempt = await bench.attempt(
        config={"requirement": "ade-config==1.0.0"},
        install={"installer": installer},
    )
    tools = replace(attempt.request.tools, wheelhouse=house)
    attempt.request = replace(attempt.request, tools=tools, sandbox=sandbox == "on")
    outcome = await attempt.run()
    found = [path.name for path in attempt.request.paths.venv.rglob("ade_config-*.dist-info")]
    print(
        json.dumps(
            {
                "status": outcome.status,
                "reason": outcome.reason,
                "installed": found,
                "output": bench.output(attempt),
            }
        )
    )


if __name__ == "__main__":
    wheelhouse = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], wheelhouse))
