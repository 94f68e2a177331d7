"""Checks with a message for people, said once and enforced twice.

The API server runs a rule as CEL (``x-kubernetes-validations``), so that bad input is refused at
``kubectl apply``; pydantic runs it in Python, so that the no-cluster mode says the same words. A
test feeds both the same documents.

Source: KEP-2876, CRD validation expression language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One check: ``cel`` and ``holds`` mean the same; ``message`` says what to write instead.

    As metadata of an ``Annotated`` type it checks a value; listed in ``RULES`` of an
    :class:`ApiModel` it checks a whole object.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]

    def check(self, value: Any) -> Any:
        """Return ``value`` as it is, or raise the error that pydantic reports for its field."""
        if not self.holds(value):
            raise PydanticCustomError("rule", "{message}", {"message": self.message})
        return value

    def as_validation(self) -> dict[str, str]:
        """Render the rule as an entry of ``x-kubernetes-validations``."""
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        rendered = handler(schema)
        rendered.setdefault(VALIDATIONS, []).append(self.as_validation())
        return rendered


def matches(pattern: str, message: str) -> Rule:
    """Make a rule that a string matches ``pattern`` (RE2 syntax that Python reads alike)."""
    quoted = pattern.replace("\\", "\\\\").replace("'", "\\'")
    compiled = re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)
    return Rule(
        cel=f"self.matches('{quoted}')",
        message=message,
        holds=lambda value: compiled.search(value) is not None,
    )


def exactly_one_of(*names: str) -> Rule:
    """Make a rule that exactly one of these (camelCase) fields of an object is set."""
    listed = ", ".join(f"has(self.{name})" for name in names)
    words = ", ".join(names[:-1]) + f" or {names[-1]}"
    return Rule(
        cel=f"[{listed}].filter(set, set).size() == 1",
        message=f"set exactly one of {words}",
        holds=lambda model: (
            sum(value is not None for key, value in model.by_name() if key in names) == 1
        ),
    )


class ApiModel(BaseModel):
    """A part of the resource: camelCase outside, checked by its own ``RULES``.

    Unknown fields are refused: the API server drops them before the operator sees them, so one that
    arrives belongs to a file read without a cluster, where it is a slip of the pen.
    """

    model_config = ConfigDict(
        # Strict, as the API server is: "no" is no boolean and "5" no number.
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )

    def by_name(self) -> list[tuple[str, Any]]:
        """Pair each field's outside name with its value."""
        return [
            (field.alias or name, getattr(self, name))
            for name, field in type(self).model_fields.items()
        ]

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return ()

    @model_validator(mode="after")
    def _check_rules(self) -> ApiModel:
        for rule in self.rules():
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        rendered = handler.resolve_ref_schema(handler(schema))
        if cls.rules():
            rendered[VALIDATIONS] = [rule.as_validation() for rule in cls.rules()]
        return rendered
