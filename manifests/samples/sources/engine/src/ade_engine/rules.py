"""The rules of a config package: its ``manifest.json`` and its optional module ``hooks``."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from importlib import resources
from typing import Any

from ade_engine.errors import RulesError

PACKAGE = "ade_config"

TransformRow = Callable[[dict[str, Any]], Mapping[str, Any]]
CheckRow = Callable[[dict[str, Any]], Iterable[str]]


class ColumnType(StrEnum):
    """What the cells of a column are."""

    TEXT = "text"
    DECIMAL = "decimal"
    DATE = "date"
    INTEGER = "integer"
    ENUM = "enum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of the output and how to find and read it.

    headers: spellings of the header, any case; none: the hook ``transform_row`` fills the field in
    required: the column must be there and none of its cells empty
    unique: no two rows may have the same value
    pattern: what the whole text must match
    minimum, maximum: of a decimal or an integer, inclusive
    places: decimals are rounded to so many digits after the point
    decimal_comma: decimals in text are written like 1.234,50 rather than 1,234.50
    formats: how dates in text are written, for ``strptime``; cells that are dates need none
    values: each value of an enum with its other spellings, any case
    """

    field: str
    type: ColumnType = ColumnType.TEXT
    headers: tuple[str, ...] = ()
    required: bool = False
    unique: bool = False
    pattern: re.Pattern[str] | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    places: int | None = None
    decimal_comma: bool = False
    formats: tuple[str, ...] = ("%Y-%m-%d",)
    values: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that a config package says. ``sheet`` is ``None`` where the first sheet is meant."""

    title: str
    columns: tuple[Column, ...]
    sheet: str | None = None
    transform_row: TransformRow | None = None
    check_row: CheckRow | None = None


def _strings(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise TypeError("expected a list of strings")
    return tuple(raw)


def _number(raw: Any) -> Decimal:
    try:
        return Decimal(str(raw))
    except ArithmeticError:
        raise ValueError(f"{raw} is not a number") from None


def _values(raw: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, dict):
        raise TypeError("expected an object: each value with a list of its other spellings")
    return {value: _strings(spellings) for value, spellings in raw.items()}


_PARSERS: dict[str, Callable[[Any], object]] = {
    "type": ColumnType,
    "headers": _strings,
    "pattern": re.compile,
    "minimum": _number,
    "maximum": _number,
    "formats": _strings,
    "values": _values,
}


def load_rules() -> Rules:
    """Read the rules of the installed config package; :class:`RulesError` if there are none."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise RulesError(f"no config package: {PACKAGE} is not installed in this environment")
    try:
        text = resources.files(PACKAGE).joinpath("manifest.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RulesError(f"{PACKAGE} has no manifest.json: is it in its package data?") from None
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise RulesError(f"{PACKAGE}/manifest.json is not JSON: {error}") from None
    return parse_manifest(manifest, hooks=_load_hooks())


def parse_manifest(manifest: Any, *, hooks: object = None) -> Rules:
    """Turn a manifest and a hooks module into rules; :class:`RulesError` names what is wrong."""
    where = f"{PACKAGE}/manifest.json"
    if not isinstance(manifest, dict) or not manifest.get("columns"):
        raise RulesError(f"{where}: expected an object with title and columns")
    columns = tuple(
        _parse_column(raw, where=f"{where}: columns[{index}]")
        for index, raw in enumerate(manifest["columns"])
    )
    names = [column.field for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise RulesError(f"{where}: two columns have the field {name}")
    return Rules(
        title=manifest.get("title", PACKAGE),
        sheet=manifest.get("sheet"),
        columns=columns,
        transform_row=getattr(hooks, "transform_row", None),
        check_row=getattr(hooks, "check_row", None),
    )


def _parse_column(raw: Any, *, where: str) -> Column:
    known = [field.name for field in fields(Column)]
    if not isinstance(raw, dict) or "field" not in raw:
        raise RulesError(f"{where}: expected an object with at least a field")
    for key in raw:
        if key not in known:
            raise RulesError(f"{where}: unknown key {key}; known: {', '.join(known)}")
    parsed: dict[str, Any] = {}
    for key, value in raw.items():
        try:
            parsed[key] = _PARSERS[key](value) if key in _PARSERS else value
        except (ValueError, TypeError, re.error) as error:
            raise RulesError(f"{where}: {key}: {error}") from None
    column = Column(**parsed)
    if column.type is ColumnType.ENUM and not column.values:
        raise RulesError(f"{where}: an enum needs values")
    return column


def _load_hooks() -> object:
    name = f"{PACKAGE}.hooks"
    # find_spec tells "has no hooks" from "has hooks that fail to import".
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
