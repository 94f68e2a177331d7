"""Puts together what the operator says of a verified venv: receipt, lock and bill of materials.

The three tell of one build and one moment, so they are made here at once, from the same list of
distributions and their origins. How each is written: :mod:`configbuild.receipt`,
:mod:`configbuild.lockfile`, :mod:`configbuild.bom`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from configbuild.bom import Subject, make_bom
from configbuild.events import rfc3339
from configbuild.evidence import Evidence
from configbuild.fingerprint import Fingerprint
from configbuild.interpreters import Interpreter
from configbuild.layout import BuildPaths
from configbuild.lockfile import make_lock
from configbuild.model import BuildId, ConfigKey, Trigger
from configbuild.origins import Built, Distribution, Origin
from configbuild.receipt import SCHEMA, EngineFacts, StepRecord, write_receipt
from configbuild.redaction import Redactor
from configbuild.version import operator_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """A build as it stood when its venv was verified, except for what is installed there.

    ``uid`` is the object's; empty without a cluster. ``environment`` is that of the steps, in which
    a proxy's URL may have a login.
    """

    build_id: BuildId
    key: ConfigKey
    uid: str
    trigger: Trigger
    fingerprint: Fingerprint
    interpreter: Interpreter
    engine: EngineFacts
    started: datetime
    verified: datetime
    environment: Mapping[str, str]
    steps: Sequence[StepRecord]
    index_urls: tuple[str, ...] = ()


def write_provenance(build: Provenance, evidence: Evidence, paths: BuildPaths) -> None:
    """Write all that is known of a venv into it; from then on it counts as verified.

    What is installed is read from the report of the step ``collect_metadata``, and where it comes
    from is what ``evidence`` has seen.
    """
    metadata = json.loads(paths.metadata.read_text(encoding="utf-8"))
    distributions = [Distribution.read(entry) for entry in metadata["packages"]]
    found = [(each, evidence.origin_of(each)) for each in distributions]
    write_receipt(
        paths,
        _receipt(build, [_summary(*pair) for pair in found]),
        [f"{each.name}=={each.version}" for each in distributions],
        lock=make_lock(found, build_id=build.build_id, interpreter=build.interpreter),
        bom=make_bom(_subject(build), found),
    )


def _receipt(build: Provenance, packages: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "build_id": build.build_id,
        "workspace_id": build.key.namespace,
        "config_id": build.key.name,
        "uid": build.uid,
        "trigger": build.trigger,
        "fingerprint": asdict(build.fingerprint),
        "python": {
            "version": build.interpreter.version,
            "path": str(build.interpreter.path),
            "platform": build.interpreter.platform,
        },
        "engine": {"name": build.engine.name, "version": build.engine.version},
        "started": rfc3339(build.started),
        "verified": rfc3339(build.verified),
        "environment": _without_logins(build.environment),
        "steps": [asdict(step) for step in build.steps],
        "packages": packages,
    }


def _subject(build: Provenance) -> Subject:
    return Subject(
        build_id=build.build_id,
        workspace=build.key.namespace,
        config=build.key.name,
        verified=rfc3339(build.verified),
        interpreter=build.interpreter,
        operator=operator_version(),
        index_urls=build.index_urls,
    )


def _summary(distribution: Distribution, origin: Origin) -> dict[str, str]:
    """Describe a distribution for the receipt."""
    entry = {"name": distribution.name, "version": distribution.version}
    if distribution.installer:
        entry["installer"] = distribution.installer
    if isinstance(origin, Built):
        entry["origin"] = "wheel built from a source tree"
    return entry


def _without_logins(environment: Mapping[str, str]) -> dict[str, str]:
    """Hide the login that a proxy's URL may have: whoever uses the venv can read its receipt."""
    hide = Redactor().redact
    return {name: hide(value.encode()).decode() for name, value in environment.items()}
