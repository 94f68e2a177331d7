"""From what is in a cell to a value of its column's type."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from ade_engine.rules import Column, ColumnType

Cell = str | int | float | bool | date | datetime | None
Value = str | int | Decimal | date | None

_NUMBER = {  # decimal_comma: the thousands grouped in threes or not at all
    False: re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?"),
    True: re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?"),
}
_EXCEL_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"})


def convert(cell: Cell, column: Column) -> Value:
    """Read one cell. An empty one is ``None``; ``ValueError`` says what is wrong with it."""
    if isinstance(cell, str):
        cell = " ".join(cell.split())
        if cell in _EXCEL_ERRORS:
            raise ValueError(f"the cell holds the error {cell}")
    if cell is None or cell == "":
        if column.required:
            raise ValueError("is empty")
        return None
    match column.type:
        case ColumnType.TEXT:
            return _text(cell, column)
        case ColumnType.DECIMAL:
            return _bounded(_decimal(cell, column), column)
        case ColumnType.INTEGER:
            return int(_bounded(_integer(cell, column), column))
        case ColumnType.DATE:
            return _date(cell, column)
        case ColumnType.ENUM:
            return _enum(cell, column)


def _plain(cell: Cell) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # spreadsheets keep 4711 as 4711.0
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    return str(cell)


def _text(cell: Cell, column: Column) -> str:
    text = _plain(cell)
    if column.pattern and not column.pattern.fullmatch(text):
        raise ValueError(f'"{text}" does not match {column.pattern.pattern}')
    return text


def _decimal(cell: Cell, column: Column) -> Decimal:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        number = Decimal(repr(cell))
    else:
        text = _plain(cell).replace(" ", "")
        if not _NUMBER[column.decimal_comma].fullmatch(text):
            raise ValueError(f'"{cell}" is not a number')
        thousands, point = (".", ",") if column.decimal_comma else (",", ".")
        number = Decimal(text.replace(thousands, "").replace(point, "."))
    if column.places is None:
        return number
    try:
        return number.quantize(Decimal(1).scaleb(-column.places), rounding=ROUND_HALF_UP)
    except InvalidOperation:
        raise ValueError(f"{cell} is too large") from None


def _integer(cell: Cell, column: Column) -> Decimal:
    number = _decimal(cell, column)
    if number != number.to_integral_value():
        raise ValueError(f"{cell} is not a whole number")
    return number


def _bounded(number: Decimal, column: Column) -> Decimal:
    if column.minimum is not None and number < column.minimum:
        raise ValueError(f"{number} is less than {column.minimum}")
    if column.maximum is not None and number > column.maximum:
        raise ValueError(f"{number} is more than {column.maximum}")
    return number


def _date(cell: Cell, column: Column) -> date:
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    for form in column.formats if isinstance(cell, str) else ():
        try:
            return datetime.strptime(str(cell), form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    example = date(2026, 12, 31).strftime(column.formats[0])
    raise ValueError(f'"{cell}" is not a date; make the cell one, or write it like {example}')


def _enum(cell: Cell, column: Column) -> str:
    text, values = _plain(cell), column.values or {}
    for value, spellings in values.items():
        if text.casefold() in {spelling.casefold() for spelling in (value, *spellings)}:
            return value
    raise ValueError(f'"{text}" is none of {", ".join(values)}')
