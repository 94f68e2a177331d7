"""Requirements of Python packaging, in one normal form. Pure."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from configbuild.errors import SpecError

# What packaging lets pass at times: a name that does not end in a letter or digit.
_IS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(?![-\w.])")


def normalize_requirement(text: str, field: str) -> str:
    """Write a requirement in its normal form, so that equal ones compare equal.

    Direct references (``name @ URL``) are refused: what they name is outside every rule that holds
    for indexes. Source: PEP 508, PEP 503 (names), PEP 440 (versions).
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        detail = str(error).splitlines()[0]
        raise SpecError(field, f"not a requirement (PEP 508): {text!r}: {detail}") from None
    if requirement.url is not None:
        raise SpecError(
            field, f"{text!r} is a direct reference; name a package of an index instead"
        )
    requirement.name = canonicalize_name(requirement.name)
    normal = str(requirement)
    if not normal.isprintable() or not _IS_NAME.match(normal):
        raise SpecError(field, f"not a requirement (PEP 508): {text!r}")
    return normal


def requirement_name(requirement: str) -> str:
    """Name the distribution that a normalised requirement asks for."""
    return Requirement(requirement).name
