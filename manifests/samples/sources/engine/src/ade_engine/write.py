"""From records to text: CSV or JSON lines.

Decimals stay as they are written, in JSON as strings: a float would round money.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

FORMATS = ("csv", "jsonl")


def write(
    records: Iterable[Mapping[str, Any]], stream: TextIO, *, fields: list[str], form: str
) -> None:
    """Write the records in ``form``, one of :data:`FORMATS`, with the fields in that order."""
    if form == "csv":
        writer = csv.DictWriter(stream, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return
    for record in records:
        ordered = {field: record[field] for field in fields}
        stream.write(json.dumps(ordered, default=str, ensure_ascii=False) + "\n")
