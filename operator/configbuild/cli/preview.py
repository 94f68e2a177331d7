"""What a build without a cluster would do, in the words of ``kubectl configbuild explain``. Pure.

::

    default/invoices: would be built (SourceChanged)
    why:     changed since build_01JC…: config
             config: a65510002725 → c1d2e3f4a5b6
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from configbuild.builds.state import ActiveBuild
from configbuild.builds.workshop import Wanted
from configbuild.cli.explain import build_parts, changes, packed, row, wrapped
from configbuild.cli.workdir import Cause
from configbuild.model import ConfigKey


def reuse(wanted: Wanted, build: ActiveBuild) -> list[str]:
    """Tell of the build that is wanted and stands."""
    ttl_s = wanted.spec.ttl_s
    parts = build_parts(
        build.build_id,
        inside=(f"Python {build.python}", build.engine),
        built=build.built_at,
        expires=build.built_at + timedelta(seconds=ttl_s) if ttl_s is not None else None,
        now=datetime.now(UTC),
    )
    return [
        *wrapped(f"{wanted.declared.key}: would be reused", indent=0),
        *row("why", "verified, and no input has changed since"),
        *row("build", *parts),
    ]


def remake(wanted: Wanted, cause: Cause) -> list[str]:
    """Tell of the build that would be made, and why."""
    changed = changes(cause.changed, cause.changed_from, wanted.fingerprint.inputs)
    return [
        *wrapped(f"{wanted.declared.key}: would be built ({cause.trigger})", indent=0),
        *row("why", cause.words, *packed(map(str, changed))),
    ]


def suspended(key: ConfigKey) -> list[str]:
    """Say that no build is started."""
    return [
        *wrapped(f"{key}: would not be built", indent=0),
        *row("why", "spec.suspend is true: no build is started"),
    ]
