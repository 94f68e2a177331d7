"""Bring back to one truth what an operator that died left: journal, record, directory.

Idempotent: whatever the moment of death, healing once or many times gives the same.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from configbuild.builds.decision import INTERRUPTED, OPERATOR_SHUTDOWN
from configbuild.builds.records import BuildRecord
from configbuild.events import BuildCreated
from configbuild.files import remove_tree
from configbuild.journal import Journals
from configbuild.layout import Layout
from configbuild.model import BuildStatus, StepStatus
from configbuild.outcome import Outcome, canceled, failed
from configbuild.receipt import read_receipt

_INTERRUPTED = failed("the operator ended while this build ran", reason=INTERRUPTED)

# Not "interrupted": what never ran cannot be what ended the operator.
_NOT_BEGUN = canceled("the operator ended before this build began", reason=OPERATOR_SHUTDOWN)


def heal(record: BuildRecord, *, journals: Journals, layout: Layout) -> BuildRecord:
    """Give the true record of a build that was left as queued or building.

    Its journal gets the ``build.completed`` it lacks, and its directory goes if it was not
    verified. Blocking: run it in a thread.
    """
    record = _with_no_step_running(record)
    told = journals.summary(record.id) if journals.exists(record.id) else None
    if told is not None and told.first_step is not None and record.started_at is None:
        # It had begun, and nobody had been told yet.
        record = replace(record, started_at=told.first_step.time)
    healed = record.after(told.ended) if told is not None and told.ended else _end(record, journals)
    paths = layout.build(record.key, record.id)
    if healed.status is BuildStatus.ACTIVE and read_receipt(paths.receipt) is None:
        healed = _interrupted(healed)
    if healed.status is not BuildStatus.ACTIVE:
        remove_tree(paths.venv)
    return healed


def _end(record: BuildRecord, journals: Journals) -> BuildRecord:
    if not journals.exists(record.id):
        return _interrupted(record)
    journal = journals.reopen(record.id)
    try:
        if journal.last_id == 0:
            # Nothing of the first event had reached the disk.
            journal.append(
                BuildCreated(
                    status=BuildStatus.QUEUED,
                    config_id=record.key.name,
                    workspace_id=record.key.namespace,
                    trigger=record.trigger,
                )
            )
        event = journal.append(_end_of(record).event())
        journal.sync()
    finally:
        journal.close()
    return record.after(event)


def _interrupted(record: BuildRecord) -> BuildRecord:
    """End a build of which nothing more is known; at the last time that is known of it."""
    end = _end_of(record)
    return replace(
        record,
        status=end.status,
        finished_at=record.finished_at or _last_known_time(record),
        exit_code=end.exit_code,
        summary=end.summary,
        message=end.message,
        reason=end.reason,
        failed_step=next((s.name for s in record.steps if s.status is StepStatus.FAILED), None),
        hint=end.hint,
    )


def _end_of(record: BuildRecord) -> Outcome:
    began = record.started_at is not None or record.steps or record.status is not BuildStatus.QUEUED
    return _INTERRUPTED if began else _NOT_BEGUN


def _last_known_time(record: BuildRecord) -> datetime:
    times = [record.queued_at, record.started_at]
    for step in record.steps:
        times += [step.started_at, step.finished_at]
    return max(time for time in times if time is not None)


def _with_no_step_running(record: BuildRecord) -> BuildRecord:
    steps = tuple(
        replace(step, status=StepStatus.FAILED, finished_at=_last_known_time(record))
        if step.status is StepStatus.RUNNING
        else step
        for step in record.steps
    )
    return replace(record, steps=steps)
