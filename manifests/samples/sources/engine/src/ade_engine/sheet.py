"""From a workbook to rows of cells by field: which sheet, which header row, which column."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from openpyxl import load_workbook  # type: ignore[import-untyped]
from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]

from ade_engine.errors import InputError
from ade_engine.rules import Column, Rules
from ade_engine.values import Cell

# People write titles and notes above a table; a header further down than this is not meant as one.
HEADER_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: its number as the spreadsheet shows it, its cells by field."""

    number: int
    cells: dict[str, Cell]


def read_rows(path: Path, rules: Rules) -> list[Row]:
    """Read the table that ``rules`` describe, without rows that are empty in all its columns.

    :class:`InputError` if the file is no workbook, or a sheet or a required column is missing.
    """
    try:
        with path.open("rb") as stream:
            sheet, cells = _read_cells(stream, rules)
    except (BadZipFile, InvalidFileException, ParseError, KeyError, ValueError) as error:
        raise InputError(f"{path.name} is not an .xlsx workbook: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    where = f'{path.name}, sheet "{sheet}"'
    number, fields = _find_header(cells[:HEADER_ROWS], rules, where=where)
    rows = (
        Row(number=row_number, cells={fields[i]: row[i] for i in fields if i < len(row)})
        for row_number, row in enumerate(cells[number:], start=number + 1)
    )
    return [row for row in rows if any(cell not in (None, "") for cell in row.cells.values())]


def _read_cells(stream: BinaryIO, rules: Rules) -> tuple[str, list[tuple[Cell, ...]]]:
    with warnings.catch_warnings():
        # About charts, validations and styles, which nobody reads here.
        warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
        workbook = load_workbook(stream, read_only=True, data_only=True)
        sheet = _choose_sheet(workbook, rules)
        sheet.reset_dimensions()  # some programs declare wrong ones, which would cut rows off
        return sheet.title, list(sheet.iter_rows(values_only=True))


def _choose_sheet(workbook: Any, rules: Rules) -> Any:
    for sheet in workbook.worksheets:
        if rules.sheet is None or _fold(sheet.title) == _fold(rules.sheet):
            return sheet
    there = _quoted(sheet.title for sheet in workbook.worksheets)
    raise InputError(f'no sheet "{rules.sheet}"; the workbook has {there}')


def _find_header(
    rows: list[tuple[Cell, ...]], rules: Rules, *, where: str
) -> tuple[int, dict[int, str]]:
    """Find the header's row number, and the field of each column (0 is the first).

    The header is the row that has most of the headers looked for.
    """
    best: tuple[int, dict[int, str]] = (0, {})
    for number, row in enumerate(rows, start=1):
        fields = _match_headers(row, rules)
        if len(fields) > len(best[1]):
            best = number, fields
    number, fields = best
    header = rows[number - 1] if number else ()
    place = f"{where}, row {number}" if number else f"{where}, rows 1 to {HEADER_ROWS}"
    found = list(fields.values())
    missing = [c for c in rules.columns if c.required and c.headers and c.field not in found]
    if missing:
        raise InputError("\n".join(_missing(column, header, place) for column in missing))
    for field in found:
        if found.count(field) > 1:
            twice = _quoted(str(header[i]) for i in fields if fields[i] == field)
            raise InputError(f"{place}: more than one column for {field}: {twice}")
    return number, fields


def _match_headers(row: tuple[Cell, ...], rules: Rules) -> dict[int, str]:
    spellings = {_fold(header): c.field for c in rules.columns for header in c.headers}
    folded = [(i, _fold(cell)) for i, cell in enumerate(row) if isinstance(cell, str)]
    return {i: spellings[text] for i, text in folded if text in spellings}


def _missing(column: Column, header: tuple[Cell, ...], place: str) -> str:
    there = _quoted(str(cell) for cell in header if cell is not None)
    return (
        f"{place}: no column for {column.field}; "
        f"looked for the header {_quoted(column.headers)}; found {there or 'no known header'}"
    )


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold().rstrip(".:* ")


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
