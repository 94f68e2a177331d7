"""TypeScript types of what goes over HTTP, from the OpenAPI document and the events' schema.

Knows what these two hold of JSON Schema, and refuses the rest: objects, arrays, enumerations,
constants, unions, references. ``python -m tests.generated`` writes the file.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from configbuild.schemas import events_schema
from configbuild.web.openapi import openapi_json

Schema = Mapping[str, Any]

_HEADER = """\
// Generated from docs/openapi.json and docs/events.schema.json by `make generate`. Do not edit.
"""

_SCALARS = {"string": "string", "integer": "number", "boolean": "boolean", "null": "null"}
_LINE = 96  # of a comment, its stars included


def typescript_types() -> str:
    """Write the module."""
    events = json.loads(events_schema())
    schemas: dict[str, Schema] = {
        **json.loads(openapi_json())["components"]["schemas"],
        **events["$defs"],
        "BuildEvent": {"description": events["description"], "oneOf": events["oneOf"]},
    }
    return "\n".join([_HEADER, *(_declaration(name, schemas[name]) for name in sorted(schemas))])


def _declaration(name: str, schema: Schema) -> str:
    comment = "".join(_comment(schema, ""))
    if schema.get("type") == "object":
        return f"{comment}export interface {name} {_members(schema, '')}\n"
    return f"{comment}export type {name} = {_type(schema)};\n"


def _members(schema: Schema, indent: str) -> str:
    inner = f"{indent}  "
    required = schema.get("required", ())
    lines: list[str] = []
    for name, member in schema.get("properties", {}).items():
        lines += _comment(member, inner)
        lines.append(f"{inner}{name}{'' if name in required else '?'}: {_type(member, inner)};\n")
    return f"{{\n{''.join(lines)}{indent}}}"


def _comment(schema: Schema, indent: str) -> Iterator[str]:
    text = schema.get("description")
    if not text:
        return
    paragraph = " ".join(text.replace("``", "`").split())
    if len(indent) + len(paragraph) + len("/**  */") <= _LINE:
        yield f"{indent}/** {paragraph} */\n"
        return
    yield f"{indent}/**\n"
    for line in textwrap.wrap(paragraph, _LINE - len(indent) - len(" * ")):
        yield f"{indent} * {line}\n"
    yield f"{indent} */\n"


def _type(schema: Schema, indent: str = "") -> str:  # noqa: PLR0911 - one for each form
    match schema:
        case {"$ref": str(reference)}:
            return reference.rpartition("/")[2]
        case {"const": constant}:
            return json.dumps(constant)
        case {"enum": list(members)}:
            return " | ".join(json.dumps(member) for member in members)
        case {"anyOf": list(branches)} | {"oneOf": list(branches)}:
            return " | ".join(_type(branch, indent) for branch in branches)
        case {"type": "array", "items": items}:
            of = _type(items, indent)
            return f"({of})[]" if "|" in of else f"{of}[]"
        case {"type": "object"}:
            return _members(schema, indent)
        case {"type": str(scalar)} if scalar in _SCALARS:
            return _SCALARS[scalar]
    raise ValueError(f"no TypeScript for {schema}")
