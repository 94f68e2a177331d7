"""From a declaration to all that a build of it needs: spec, sources, interpreter, fingerprint."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from configbuild.builds.inquiry import inquire
from configbuild.builds.state import Declared
from configbuild.cage import Limits
from configbuild.confinement import problem
from configbuild.engine import BuildRequest
from configbuild.fingerprint import Fingerprint, fingerprint
from configbuild.installers import Toolchain
from configbuild.interpreters import Interpreter, Interpreters
from configbuild.layout import Layout
from configbuild.model import BuildId, BuildSpec, Trigger
from configbuild.outcome import SAFE_MODE, SANDBOX_UNAVAILABLE
from configbuild.resource.convert import SpecDefaults, parse_spec, resolve_spec
from configbuild.settings import Settings
from configbuild.sources import (
    ConfigMaps,
    Git,
    HostRules,
    NoSecrets,
    ResolvedSources,
    Secrets,
    SourceResolver,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What builds are made with; the same for all builds of a process.

    ``hindrances`` are those of :data:`.HINDRANCES` that keep this process from making any.
    """

    layout: Layout
    operator_python: Path
    uv: Path
    wheelhouse: Path | None
    environment: Mapping[str, str]
    grace_s: float = 5.0
    hindrances: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    sandbox: bool = True

    def tools(self, interpreter: Interpreter) -> Toolchain:
        """Choose the programs for a build with ``interpreter``."""
        return Toolchain(
            interpreter=interpreter,
            operator_python=self.operator_python,
            uv=self.uv,
            wheelhouse=self.wheelhouse,
        )

    def request(self, wanted: Wanted, build_id: BuildId, trigger: Trigger) -> BuildRequest:
        """Write the order for one build."""
        key = wanted.declared.key
        return BuildRequest(
            build_id=build_id,
            key=key,
            uid=wanted.declared.uid,
            trigger=trigger,
            spec=wanted.spec,
            fingerprint=wanted.fingerprint,
            sources=wanted.sources,
            paths=self.layout.build(key, build_id),
            tools=self.tools(wanted.interpreter),
            environment=self.environment,
            grace_s=self.grace_s,
            safe_mode=SAFE_MODE in self.hindrances,
            limits=self.limits,
            sandbox=self.sandbox,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A declaration, resolved to what no longer moves."""

    declared: Declared
    spec: BuildSpec
    sources: ResolvedSources
    interpreter: Interpreter
    fingerprint: Fingerprint

    @property
    def moving(self) -> bool:
        """Whether a source can change without the spec."""
        return self.sources.moving


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads declarations by the operator's defaults, interpreters and sources."""

    defaults: SpecDefaults
    interpreters: Interpreters
    resolver: SourceResolver

    async def read(self, declared: Declared) -> Wanted:
        """Resolve a declaration, outside any build.

        :class:`~configbuild.errors.SpecError` if it cannot be built from as it is,
        :class:`~configbuild.errors.SourceError` if a source cannot be had now.
        """
        spec = resolve_spec(parse_spec(declared.spec), self.defaults)
        interpreter = self.interpreters.pick(spec.python)
        sources = await self.resolver.resolve(declared.key.namespace, spec)
        return Wanted(
            declared=declared,
            spec=spec,
            sources=sources,
            interpreter=interpreter,
            fingerprint=fingerprint(
                spec,
                engine_digest=sources.engine.digest if sources.engine else None,
                config_digest=sources.config_digest,
                platform=interpreter.platform,
            ),
        )


def make_workshop(settings: Settings) -> Workshop:
    """Put together what builds are made with, by the operator's settings."""
    return Workshop(
        layout=settings.layout,
        operator_python=Path(sys.executable),
        uv=settings.uv_bin,
        wheelhouse=settings.wheelhouse,
        environment=os.environ,
        grace_s=settings.grace_seconds,
        hindrances=hindrances(settings),
        limits=settings.limits,
        sandbox=settings.sandbox == "on",
    )


def hindrances(settings: Settings) -> frozenset[str]:
    """Tell for which reasons no build is made here."""
    found = {SAFE_MODE} if settings.safe_mode else set()
    if settings.sandbox == "on" and problem() is not None:
        found.add(SANDBOX_UNAVAILABLE)
    return frozenset(found)


def make_reader(
    settings: Settings,
    interpreters: Interpreters,
    config_maps: ConfigMaps,
    secrets: Secrets | None = None,
) -> Reader:
    """Put together what reads declarations, by the operator's settings."""
    trusted = os.environ.get("SSL_CERT_FILE")
    return Reader(
        defaults=settings.spec_defaults(interpreters.default.minor),
        interpreters=interpreters,
        resolver=SourceResolver(
            layout=settings.layout,
            config_maps=config_maps,
            limits=settings.source_limits,
            hosts=HostRules(allowed=settings.allowed_hosts),
            secrets=secrets or NoSecrets(),
            trusted_index=settings.index_url,
            asks_indexes=settings.wheelhouse is None,
            git=Git(program=settings.git_bin, ca_file=Path(trusted) if trusted else None),
            run=partial(inquire, limits=settings.limits if settings.sandbox == "on" else None),
        ),
    )
