"""What benchmarks read off a process: how late its event loop is, what it takes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

TICK_S = 0.01


@asynccontextmanager
async def loop_delays() -> AsyncIterator[list[float]]:
    """Measure how late the event loop is, in milliseconds."""
    delays: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            delays.append((time.perf_counter() - due) * 1000)

    ticker = asyncio.create_task(tick())
    try:
        yield delays
    finally:
        ticker.cancel()


def p99(values: Sequence[float]) -> float:
    """Give the value below which 99 of 100 are."""
    return sorted(values)[len(values) * 99 // 100]


def processor_s(pid: int) -> float:
    """Tell the processor time that a process has taken, its threads included; proc(5), stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Tell the resident memory of a process; proc(5), status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"no VmRSS of {pid}")
