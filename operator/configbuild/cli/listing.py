"""Many ConfigBuilds at a glance: how each stands (``list``), and what is under way (``top``). Pure.

::

    2 building, 1 waiting
    CONFIG             STATUS    STEP            FOR    TRIGGER
    team-a/invoices    building  install_config  1m02s  SpecChanged
    team-b/timesheets  queued 1                  12.0s  Initial
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from configbuild.cli.tables import format_age, table
from configbuild.cli.told import Told, time_of

_HEADING = ("READY", "PHASE", "REASON", "PYTHON", "ENGINE", "BUILT")


def config_rows(
    bodies: Sequence[Mapping[str, Any]], *, everywhere: bool, now: datetime
) -> list[str]:
    """Give each config a line: what it is, how it stands, and what is active."""
    rows = [
        ("CONFIG" if everywhere else "NAME", *_HEADING),
        *(_config_row(Told(body), everywhere=everywhere, now=now) for body in bodies),
    ]
    return table(rows, flexible=(0, 3, 5))


def under_way(bodies: Sequence[Mapping[str, Any]], *, now: datetime) -> list[str]:
    """Show the builds that run, the longest first, then those that wait, in their order."""
    live = sorted((told for told in map(Told, bodies) if told.running), key=_order)
    building = sum(told.build.get("status") == "building" for told in live)
    count = f"{building} building, {len(live) - building} waiting"
    if not live:
        return [count]
    heading = ("CONFIG", "STATUS", "STEP", "FOR", "TRIGGER")
    return [count, *table([heading, *(_live_row(told, now) for told in live)])]


def live_bodies(bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Choose those whose newest build waits or runs."""
    return [body for body in bodies if Told(body).running]


def _config_row(told: Told, *, everywhere: bool, now: datetime) -> tuple[str, ...]:
    ready = told.condition("Ready")
    built = time_of(told.active.get("builtAt"))
    reason = str(ready.get("reason", ""))
    return (
        told.title if everywhere else str(told.metadata.get("name", "")),
        "" if told.stale else str(ready.get("status", "")),
        str(told.status.get("phase", "")),
        # What Ready and Phase say already is not said again.
        "" if reason in ("BuildSucceeded", "Building", "Queued") else reason,
        str(told.active.get("python", "")),
        str(told.active.get("engine", "")),
        format_age((now - built).total_seconds()) if built else "",
    )


def _live_row(told: Told, now: datetime) -> tuple[str, ...]:
    build = told.build
    waits = build.get("status") == "queued"
    position = build.get("queuePosition")
    since = time_of(build.get("queuedAt") if waits else build.get("startedAt"))
    return (
        told.title,
        f"queued {position}" if waits and position else str(build.get("status")),
        str(told.status.get("step", "")),
        format_age((now - since).total_seconds()) if since else "",
        str(build.get("trigger", "")),
    )


def _order(told: Told) -> tuple[bool, int, datetime]:
    build = told.build
    waits = build.get("status") == "queued"
    since = time_of(build.get("queuedAt") if waits else build.get("startedAt"))
    # Only the first few have a position (see configbuild.builds.runner); the rest came later.
    position = int(build.get("queuePosition") or 1_000_000) if waits else 0
    return waits, position, since or datetime.max.replace(tzinfo=UTC)
