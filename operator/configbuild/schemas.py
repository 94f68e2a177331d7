"""The JSON Schema of the events, made from their classes. Pure.

Source: JSON Schema 2020-12; design: one ``oneOf`` branch for each type of event.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from configbuild.events import BODIES, OBJECT, Body

_ENVELOPE: dict[str, Any] = {
    "object": {"const": OBJECT},
    "id": {"type": "integer", "minimum": 1, "description": "1, 2, 3 … in the build: the cursor."},
    "build_id": {"type": "string", "pattern": "^build_[0-9A-HJKMNP-TV-Z]{26}$"},
    "created": {"type": "integer", "description": "Unix seconds."},
    "time": {"type": "string", "format": "date-time", "description": "RFC 3339, microseconds."},
}


def events_schema() -> str:
    """Write the schema of a line of a build's NDJSON stream."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ConfigBuild build event",
        "description": "One line of a build's NDJSON stream.",
        "oneOf": [{"$ref": f"#/$defs/{body.__name__}"} for body in BODIES],
        "$defs": {},
    }
    for body in BODIES:
        document["$defs"].update(_definitions(body))  # type: ignore[attr-defined]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _definitions(body: type[Body]) -> dict[str, Any]:
    schema = TypeAdapter(body).json_schema(ref_template="#/$defs/{model}")
    nested: dict[str, Any] = schema.pop("$defs", {})
    optional = {"continued"}  # written only where it is true
    schema["properties"] = {**_ENVELOPE, "type": {"const": body.TYPE}, **schema["properties"]}
    schema["required"] = [name for name in schema["properties"] if name not in optional]
    return {**nested, body.__name__: schema}
