"""Bring back to one truth what an operator that died left: journal, record, directory.

Idempotent: whatever the moment of death, healing once or many times gives the same.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from configbuild.builds.decision import INTERRUPTED
from configbuild.builds.records import BuildRecord
from configbuild.files import remove_tree
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildStatus
from configbuild.outcome import failed
from configbuild.receipt import read_receipt

_INTERRUPTED = failed("the operator ended while this build ran", reason=INTERRUPTED)


def heal(record: BuildRecord, *, journals: Journals, layout: Layout) -> BuildRecord:
    """Give the true record of a build that was left as queued or building.

    Its journal gets the ``build.completed`` it lacks, and its directory goes if it was not
    verified. Blocking: run it in a thread.
    """
    told = journals.summary(record.id)
    if told is not None and told.ended is not None:
        healed = record.after(told.ended)
    else:
        healed = _end(record, journals)
    if healed.status is not BuildStatus.ACTIVE:
        remove_tree(layout.build(record.key, record.id).venv)
    elif read_receipt(layout.build(record.key, record.id).receipt) is None:
        healed = replace(healed, status=BuildStatus.FAILED, reason=INTERRUPTED)
    return healed


def _end(record: BuildRecord, journals: Journals) -> BuildRecord:
    if not journals.exists(record.id):
        return replace(
            record,
            status=_INTERRUPTED.status,
            finished_at=datetime.now(UTC),
            summary=_INTERRUPTED.summary,
            message=_INTERRUPTED.message,
            reason=_INTERRUPTED.reason,
        )
    journal = journals.reopen(record.id)
    try:
        event = journal.append(_INTERRUPTED.event())
        journal.sync()
    finally:
        journal.close()
    return record.after(event)
