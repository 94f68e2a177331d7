"""From rows of cells to records: each cell by its column, then the row as a whole by the hooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ade_engine.errors import RulesError
from ade_engine.rules import Rules
from ade_engine.sheet import Row
from ade_engine.values import convert


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one row, whose number is the spreadsheet's."""

    row: int
    message: str


@dataclass(slots=True)
class Result:
    """The records that keep every rule, and the problems of the rows that do not."""

    records: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def bad_rows(self) -> int:
        """How many rows have a problem, and so are no records."""
        return len({problem.row for problem in self.problems})


def normalise(rows: Iterable[Row], rules: Rules) -> Result:
    """Read every row by the rules; :class:`RulesError` if a hook returns an unknown field."""
    result = Result()
    seen: dict[tuple[str, Any], int] = {}
    for row in rows:
        record, messages = _convert_row(row, rules)
        if not messages:
            record, messages = _apply_hooks(record, rules)
        messages += _check_unique(record, row.number, rules, seen)
        if messages:
            result.problems += [Problem(row=row.number, message=text) for text in messages]
        else:
            result.records.append(record)
    return result


def _convert_row(row: Row, rules: Rules) -> tuple[dict[str, Any], list[str]]:
    record: dict[str, Any] = {}
    messages = []
    for column in rules.columns:
        record[column.field] = None
        if not column.headers:
            continue
        try:
            record[column.field] = convert(row.cells.get(column.field), column)
        except ValueError as error:
            messages.append(f"{column.field}: {error}")
    return record, messages


def _apply_hooks(record: dict[str, Any], rules: Rules) -> tuple[dict[str, Any], list[str]]:
    """Let ``transform_row`` change the record and ``check_row`` judge it.

    A ``ValueError`` out of ``transform_row`` is a problem of the row; any other is a bug in it.
    """
    known = {column.field for column in rules.columns}
    if rules.transform_row:
        try:
            record = {**record, **rules.transform_row(dict(record))}
        except ValueError as error:
            return record, [str(error)]
    if unknown := record.keys() - known:
        raise RulesError(f"transform_row returned {', '.join(sorted(unknown))}: not in the columns")
    return record, list(rules.check_row(dict(record))) if rules.check_row else []


def _check_unique(
    record: dict[str, Any], number: int, rules: Rules, seen: dict[tuple[str, Any], int]
) -> list[str]:
    messages = []
    for column in rules.columns:
        value = record[column.field]
        if column.unique and value is not None:
            first = seen.setdefault((column.field, value), number)
            if first != number:
                messages.append(f"{column.field}: {value} is in row {first} already")
    return messages
