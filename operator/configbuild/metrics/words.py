"""The values of labels: few, and known beforehand. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

from configbuild.builds.records import BuildRecord
from configbuild.model import BuildStatus

# Of builds that ended, as docs/spec/configbuild.md lists them; a test holds both equal.
REASONS = frozenset(
    {
        "BuildBackendFailed",
        "BuildFailed",
        "Canceled",
        "ChecksumMismatch",
        "CollectMetadataFailed",
        "CommandFailed",
        "CommandNotStarted",
        "CreateVenvFailed",
        "Deleted",
        "DependencyConflict",
        "DiskFull",
        "EngineConflict",
        "EngineNotInstalled",
        "FetchConfigFailed",
        "HashMismatch",
        "ImportFailed",
        "IndexUnauthorized",
        "IndexUnreachable",
        "IndexUntrusted",
        "InstallConfigFailed",
        "InstallEngineFailed",
        "InternalError",
        "Interrupted",
        "InvalidDistribution",
        "InvalidProject",
        "JournalFailed",
        "LauncherFailed",
        "MissingBuildTool",
        "MissingSystemLibrary",
        "NoMatchingDistribution",
        "NoWheel",
        "OperatorShutdown",
        "OutOfMemory",
        "RequiresPython",
        "ResolutionImpossible",
        "SafeMode",
        "SandboxDenied",
        "SandboxUnavailable",
        "SourceChanged",
        "SourceDenied",
        "StepFailed",
        "Superseded",
        "Timeout",
        "UpgradePipFailed",
        "VerifyImportsFailed",
    }
)
SUCCEEDED = "BuildSucceeded"
OTHER = "Other"

# Names in a path of the API, which are no part of what kind of thing is asked for.
_VARIABLE = re.compile(r"\{\w+\}")


RESULTS = {
    BuildStatus.ACTIVE: "succeeded",
    BuildStatus.FAILED: "failed",
    BuildStatus.CANCELED: "canceled",
}

PHASES = ("Queued", "Building", "Active", "Failed", "Canceled")


class SandboxState(StrEnum):
    """What guards the operator against the code of builds."""

    ENFORCED = "enforced"
    OFF = "off"
    UNAVAILABLE = "unavailable"


def resource_of(path: str) -> str:
    """Name what a path asks for, as in a Role: ``configbuilds/status``.

    ``path`` is a pattern with its variables, of which there are a dozen in the code.
    """
    if path.startswith("/openapi/"):
        return "openapi"
    parts = _VARIABLE.sub("", path).strip("/").split("/")
    kinds = parts[3:] if parts[0] == "apis" else parts[2:]
    if kinds[:1] == ["namespaces"]:
        kinds = kinds[2:]
    return "/".join(filter(None, kinds)) or OTHER


def reason_of(record: BuildRecord) -> str:
    """Name why a build ended as it did; ``Other`` where the word is not known."""
    if record.status is BuildStatus.ACTIVE:
        return SUCCEEDED
    return record.reason if record.reason in REASONS else OTHER
