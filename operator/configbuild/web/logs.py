"""A build's output, page by page: its log events without the others."""

from __future__ import annotations

from contextlib import suppress

from configbuild.builds.records import BuildRecord
from configbuild.errors import NotFoundError
from configbuild.events import BuildCompleted, BuildGap, BuildLog, Event
from configbuild.journal import Journals
from configbuild.model import Stream
from configbuild.web.models import BuildLogEntry, BuildLogs


def read_page(journals: Journals, record: BuildRecord, *, after_id: int, limit: int) -> BuildLogs:
    """Read at most ``limit`` lines with ids above ``after_id``. Blocking: run it in a thread.

    ``record`` is to be taken before: then a build that had ended has all its lines in the journal.
    """
    entries: list[BuildLogEntry] = []
    all_read = record.status.ended
    with suppress(NotFoundError):
        for event in journals.events(record.id, after_id):
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
