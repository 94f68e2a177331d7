"""``sbom.cdx.json`` of a built venv: a bill of materials in the form of CycloneDX 1.6. Pure.

A component has a hash only where it is that of the file that was installed. What a package says of
itself (licence, summary, its RECORD) is told as what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, assert_never
from urllib.parse import quote
from uuid import UUID, uuid5

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from configbuild.interpreters import Interpreter
from configbuild.origins import (
    Archive,
    Built,
    Distribution,
    FromIndex,
    LocalTree,
    Origin,
    Repository,
    Unknown,
    whole_hash,
)

# Of this project alone, so that no other makes the same serial number of a build's id.
_SERIAL_NUMBERS = UUID("0d6d0f0c-6f0b-5d7b-9c53-0a3b1f2f7f6e")

# What the schema and readers of IRIs take (RFC 3987), of what an index may say.
_ADDRESS = re.compile(r"https?://[!#$%&'()*+,./0-9:;=?@A-Z_a-z~\[\]-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the bill is of: one build; ``verified`` is RFC 3339, ``operator`` our own version."""

    build_id: str
    workspace: str
    config: str
    verified: str
    interpreter: Interpreter
    operator: str
    index_urls: tuple[str, ...] = ()


def make_bom(subject: Subject, found: Iterable[tuple[Distribution, Origin]]) -> str:
    """Write the bill; equal input, equal text."""
    ordered = sorted(found, key=lambda pair: pair[0].name)
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(_SERIAL_NUMBERS, subject.build_id)}",
        "version": 1,
        "metadata": _metadata(subject),
        "components": [_component(each, origin, subject) for each, origin in ordered],
    }
    return json.dumps(bom, indent=1) + "\n"


def _metadata(subject: Subject) -> dict[str, Any]:
    return {
        "timestamp": subject.verified,
        "lifecycles": [{"phase": "post-build"}],
        "tools": {
            "components": [
                {
                    "type": "application",
                    "name": "configbuild-operator",
                    "version": subject.operator,
                }
            ]
        },
        "component": {
            "type": "application",
            "bom-ref": subject.build_id,
            "name": f"{subject.workspace}/{subject.config}",
            "version": subject.build_id,
            "properties": _properties(
                {
                    "python": subject.interpreter.version,
                    "platform": subject.interpreter.platform,
                }
            ),
        },
    }


def _component(distribution: Distribution, origin: Origin, subject: Subject) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{distribution.name}=={distribution.version}",
        "name": distribution.name,
        "version": distribution.version,
    }
    if distribution.summary:
        component["description"] = distribution.summary
    if (sha256 := whole_hash(origin)) is not None:
        component["hashes"] = _hashes(sha256)
    if licenses := _licenses(distribution):
        component["licenses"] = licenses
    if isinstance(origin, FromIndex):
        component["purl"] = _purl(distribution, subject.index_urls)
    if references := _references(origin):
        component["externalReferences"] = references
    component["properties"] = _properties(
        {
            "installer": distribution.installer,
            "origin": _origin(origin),
            "record-sha256": distribution.record_sha256,
        }
    )
    return component


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _licenses(distribution: Distribution) -> list[dict[str, Any]]:
    expression = distribution.license_expression
    if expression:
        try:
            return [{"expression": str(canonicalize_license_expression(expression))}]
        except InvalidLicenseExpression:
            return [{"license": {"name": expression}}]
    return [{"license": {"name": name}} for name in distribution.licenses]


def _purl(distribution: Distribution, index_urls: tuple[str, ...]) -> str:
    """Name a package by package-url: only one of an index, and by which, where that is known.

    A wheel that was built from a tree has none: the same name on a public index is another package.
    """
    name, version = distribution.name, quote(distribution.version, safe="")
    purl = f"pkg:pypi/{name}@{version}"
    if len(index_urls) == 1:
        purl += f"?repository_url={quote(index_urls[0], safe='')}"
    return purl


def _references(origin: Origin) -> list[dict[str, Any]]:
    match origin:
        case FromIndex(wheels=wheels):
            found = [
                {"type": "distribution", "url": wheel.url, "hashes": _hashes(wheel.sha256)}
                for wheel in sorted(wheels, key=lambda wheel: wheel.name)
                if wheel.url is not None
            ]
        case Archive(url=url, sha256=sha256):
            found = [{"type": "distribution", "url": url, "hashes": _hashes(sha256)}]
        case Built(source=Archive(url=url, sha256=sha256)):
            found = [{"type": "source-distribution", "url": url, "hashes": _hashes(sha256)}]
        case Built(source=Repository(url=url, commit=commit)):
            found = [{"type": "vcs", "url": url, "comment": f"commit {commit}"}]
        case _:
            found = []
    return [each for each in found if _ADDRESS.fullmatch(str(each["url"]))]


def _origin(origin: Origin) -> str:
    match origin:
        case FromIndex():
            said = "a wheel of an index" if origin.wheel else "one of several wheels of an index"
        case Archive():
            said = "a wheel at a URL"
        case Built(source=LocalTree(digest=digest)):
            said = f"built from a source tree with digest {digest}"
        case Built(source=Repository()):
            said = "built from a commit"
        case Built():
            said = "built from an archive"
        case Unknown(why=why):
            said = f"unknown: {why}"
        case _:
            assert_never(origin)
    return said


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    # Names in a namespace of one's own, as CycloneDX asks for.
    return [
        {"name": f"configbuild:{name}", "value": value} for name, value in values.items() if value
    ]
