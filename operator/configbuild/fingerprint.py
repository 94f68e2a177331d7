"""The fingerprint: one hash of everything that is declared about a build. Pure.

Two builds of equal fingerprint would be the same build, save for what an index answers to unpinned
requirements in the meantime; that enters only through ``ttl`` or a forced build. The hash is made
of named parts, and the short hashes of the parts are kept, so that a rebuild can say what changed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from configbuild.model import BuildSpec, ConfigSource, EngineSource, RequirementSource

# Changes whenever a new version of the operator builds equal declarations in another way.
SCHEME = 1

_SHORT = 12

# Made once: every look at every config makes ten of these hashes.
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """``value`` identifies a declaration; ``inputs`` maps each part's name to its short hash."""

    value: str
    inputs: dict[str, str]

    def changed_from(self, other: dict[str, str]) -> tuple[str, ...]:
        """Name the inputs that differ from those of another fingerprint, sorted."""
        names = self.inputs.keys() | other.keys()
        return tuple(sorted(n for n in names if self.inputs.get(n) != other.get(n)))


def fingerprint(
    spec: BuildSpec, *, engine_digest: str | None, config_digest: str | None, platform: str
) -> Fingerprint:
    """Hash a spec and the digests of its source trees (``None`` where a source has no tree).

    ``platform`` names the interpreter's platform, e.g. ``linux-x86_64``.
    """
    install = spec.install
    parts: dict[str, Any] = {
        "engine": _source(spec.engine, engine_digest),
        "config": _source(spec.config, config_digest),
        "python": spec.python,
        "platform": platform,
        "installer": install.installer,
        "constraints": list(install.constraints),
        "index": list(install.index.urls),
        "options": [install.dependencies, install.compile_bytecode, install.only_binary],
        "verify": list(spec.verify_imports),
    }
    inputs = {name: _digest(value)[:_SHORT] for name, value in parts.items()}
    return Fingerprint(value=_digest([SCHEME, parts]), inputs=inputs)


def _source(source: EngineSource | ConfigSource, digest: str | None) -> list[str]:
    # Where a tree lies does not matter, only what it holds: a moved but equal tree is not rebuilt.
    if isinstance(source, RequirementSource):
        return ["requirement", source.requirement]
    assert digest is not None
    return ["tree", digest]


def _digest(value: Any) -> str:
    return hashlib.sha256(_JSON.encode(value).encode()).hexdigest()
