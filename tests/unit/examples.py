"""What many tests need: the nouns in a usual form, each with whatever a test changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import settings

from configbuild.builds.records import BuildRecord
from configbuild.builds.state import ActiveBuild
from configbuild.engine import BuildRequest
from configbuild.events import BuildCreated
from configbuild.fingerprint import Fingerprint
from configbuild.installers import Toolchain
from configbuild.interpreters import Interpreter
from configbuild.layout import BuildPaths, Layout
from configbuild.model import (
    BuildId,
    BuildSpec,
    BuildStatus,
    ConfigKey,
    InstallOptions,
    RequirementSource,
    Trigger,
)
from configbuild.sources import ResolvedSources

# The same examples in every run, and nothing remembered from one to the next.
DETERMINED = settings(derandomize=True, deadline=None, database=None, max_examples=60)

KEY = ConfigKey("team-a", "invoices")
NOW = datetime(2026, 3, 1, 12, 30, 45, 123456, tzinfo=UTC)
FINGERPRINT = Fingerprint(value="f" * 64, inputs={"config": "c1", "engine": "e1", "python": "p1"})
OTHER_FINGERPRINT = Fingerprint(
    value="0" * 64, inputs={"config": "c2", "engine": "e1", "python": "p1"}
)
CREATED = BuildCreated(
    status=BuildStatus.QUEUED,
    config_id=KEY.name,
    workspace_id=KEY.namespace,
    trigger=Trigger.INITIAL,
)


def build_id(number: int = 0) -> BuildId:
    return BuildId.parse(f"build_01JB2Z5V7T3QK8M4N6P9R0{number:04d}")


def layout(root: Path) -> Layout:
    return Layout(
        venvs=root / "venvs", logs=root / "logs", cache=root / "cache", sources=root / "sources"
    )


def paths(root: Path = Path("/data")) -> BuildPaths:
    return layout(root).build(KEY, build_id())


def tools(**changes: Any) -> Toolchain:
    interpreter = Interpreter(
        path=Path("/opt/python3.12"), version="3.12.4", platform="linux-x86_64"
    )
    usual = Toolchain(
        interpreter=interpreter, operator_python=Path("/operator/python"), uv=Path("/bin/uv")
    )
    return replace(usual, **changes)


def spec(**changes: Any) -> BuildSpec:
    usual = BuildSpec(
        engine=RequirementSource(requirement="ade-engine==1.4.0"),
        config=RequirementSource(requirement="ade-config==2.1"),
        python="3.12",
        install=InstallOptions(),
        verify_imports=("ade_engine", "ade_config"),
        timeout_s=600.0,
        ttl_s=None,
        interval_s=600.0,
        history_limit=5,
        retention_s=None,
    )
    return replace(usual, **changes)


def record(**changes: Any) -> BuildRecord:
    usual = BuildRecord(
        id=build_id(),
        key=KEY,
        status=BuildStatus.QUEUED,
        trigger=Trigger.INITIAL,
        queued_at=NOW,
        fingerprint=FINGERPRINT.value,
    )
    return replace(usual, **changes)


SUCCEEDED = record(
    status=BuildStatus.ACTIVE, started_at=NOW, finished_at=NOW, exit_code=0, summary="Succeeded"
)


def active(**changes: Any) -> ActiveBuild:
    usual = ActiveBuild(
        build_id=build_id(),
        venv_path="/venvs/team-a/invoices/x",
        fingerprint=FINGERPRINT.value,
        inputs=FINGERPRINT.inputs,
        python="3.12.4",
        engine="ade-engine 1.4.0",
        built_at=NOW,
    )
    return replace(usual, **changes)


def request(root: Path, **changes: Any) -> BuildRequest:
    usual = BuildRequest(
        build_id=build_id(),
        key=KEY,
        uid="uid-1",
        trigger=Trigger.INITIAL,
        spec=spec(),
        fingerprint=FINGERPRINT,
        sources=ResolvedSources(engine=None, config=None),
        paths=paths(root),
        tools=tools(),
        environment={},
    )
    return replace(usual, **changes)
