"""A build's output, page by page: its log events without the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from configbuild.builds.records import BuildRecord
from configbuild.errors import NotFoundError
from configbuild.events import BuildCompleted, BuildGap, BuildLog, Event, decode_line
from configbuild.model import Stream
from configbuild.web.backend import Backend
from configbuild.web.models import BuildLogEntry, BuildLogs


async def read_page(
    backend: Backend, record: BuildRecord, *, after_id: int, limit: int
) -> BuildLogs:
    """Read at most ``limit`` lines with ids above ``after_id``.

    ``record`` is to be taken before: then a build that had ended has all its lines in the journal.
    Where the journal is gone the log store is asked; :class:`~configbuild.logstore.LogStoreError`
    if it does not answer.
    """
    try:
        return await asyncio.to_thread(_from_journal, backend, record, after_id, limit)
    except NotFoundError:
        copy = backend.copy(record, after_id)
        events = await _events_of(copy, limit) if copy is not None else []
        return _page(record, events, after_id=after_id, limit=limit)


def _from_journal(backend: Backend, record: BuildRecord, after_id: int, limit: int) -> BuildLogs:
    events = backend.journals.events(record.id, after_id)
    return _page(record, events, after_id=after_id, limit=limit)


async def _events_of(copy: AsyncGenerator[bytes, None], limit: int) -> list[Event]:
    """Read so many events of a copy that there are lines for a page and one more."""
    events: list[Event] = []
    lines = 0
    async with aclosing(copy):
        async for block in copy:
            found = list(map(decode_line, block.splitlines()))
            events += found
            lines += sum(_entry(event) is not None for event in found)
            if lines > limit:
                break
    return events


def _page(record: BuildRecord, events: Iterable[Event], *, after_id: int, limit: int) -> BuildLogs:
    entries: list[BuildLogEntry] = []
    all_read = record.status.ended
    for event in events:
        if entry := _entry(event):
            if len(entries) == limit:
                all_read = False
                break
            entries.append(entry)
        after_id = event.id
        all_read = all_read or isinstance(event.body, BuildCompleted)
    return BuildLogs(
        build_id=record.id, entries=entries, next_after_id=None if all_read else after_id
    )


def _entry(event: Event) -> BuildLogEntry | None:
    match event.body:
        case BuildLog(stream=stream, message=message):
            pass
        case BuildGap(lines=lines):
            # Clients of this route know lines only, so it is one.
            stream, message = Stream.STDERR, f"[{lines} lines were left out here]"
        case _:
            return None
    return BuildLogEntry(id=event.id, created=event.created, stream=stream, message=message)
