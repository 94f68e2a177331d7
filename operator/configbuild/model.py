"""The nouns of a build: its identity, its spec and its words. Pure: nothing here does I/O.

Everything is immutable. What people write (YAML, JSON) becomes these types in
:mod:`configbuild.resource`, where defaults from the operator's settings are filled in; from there
on no field is optional because somebody left it out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from ulid import ULID

_BUILD_ID = re.compile(r"build_[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True, slots=True, order=True)
class ConfigKey:
    """Names one ConfigBuild: the namespace is the workspace, the name the config."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class BuildId(str):
    """The id of one build attempt: ``build_`` and a ULID, so that ids sort by time.

    Source: https://github.com/ulid/spec
    """

    __slots__ = ()

    @classmethod
    def new(cls) -> Self:
        """Make an id that no other build has."""
        return cls(f"build_{ULID()}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take ``text`` as an id; ``ValueError`` if it is none (``build_`` plus 26 characters)."""
        if not _BUILD_ID.fullmatch(text):
            raise ValueError(f"not a build id: {text[:64]!r}; expected build_ and a ULID")
        return cls(text)

    @property
    def ulid(self) -> str:
        """The ULID alone in lower case, for names of files, directories and Kubernetes objects."""
        return self.removeprefix("build_").lower()

    @classmethod
    def from_ulid(cls, ulid: str) -> Self:
        """Find the id whose :attr:`ulid` this is; ``ValueError`` if there can be none."""
        if not re.fullmatch("[0-9a-z]{26}", ulid):
            raise ValueError(f"not a build id's ULID in lower case: {ulid[:64]!r}")
        return cls.parse(f"build_{ulid.upper()}")


class Step(StrEnum):
    """The steps of a build, in their order; the first only where the config's source is remote."""

    FETCH_CONFIG = "fetch_config"
    CREATE_VENV = "create_venv"
    UPGRADE_PIP = "upgrade_pip"
    INSTALL_ENGINE = "install_engine"
    INSTALL_CONFIG = "install_config"
    VERIFY_IMPORTS = "verify_imports"
    COLLECT_METADATA = "collect_metadata"


class StepStatus(StrEnum):
    """How a step stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class BuildStatus(StrEnum):
    """How a build stands, in the words of the HTTP API."""

    QUEUED = "queued"
    BUILDING = "building"
    ACTIVE = "active"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen in such a build."""
        return self in (BuildStatus.ACTIVE, BuildStatus.FAILED, BuildStatus.CANCELED)


class Trigger(StrEnum):
    """Why a build was started."""

    INITIAL = "Initial"
    SPEC_CHANGED = "SpecChanged"
    SOURCE_CHANGED = "SourceChanged"
    EXPIRED = "Expired"
    FORCED = "Forced"
    REQUESTED = "Requested"
    INTERRUPTED = "Interrupted"
    MISSING = "Missing"
    RETRY = "Retry"


class Stream(StrEnum):
    """Where a line of output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Installer(StrEnum):
    """The program that fills the venv."""

    UV = "uv"
    PIP = "pip"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementSource:
    """A package from an index, as a PEP 508 requirement in its normal form."""

    requirement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSource:
    """A source tree at a relative path below ``<sources>/<namespace>``."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapItem:
    """Where the content of one key of a ConfigMap goes, as ``items`` of a volume."""

    key: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapSource:
    """A source tree out of a ConfigMap: its keys as files, or one key that holds an archive.

    Without ``items`` every key becomes a file of that name at the top of the tree.
    """

    name: str
    items: tuple[ConfigMapItem, ...] = ()
    archive_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSource:
    """A source tree at ``path`` in an archive that is downloaded; ``sha256`` of it, in hex."""

    url: str
    sha256: str
    path: str = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A source tree at ``path`` in a Git repository.

    ``ref`` is a whole reference (``refs/heads/…``, ``refs/tags/…``) or a whole commit id.
    ``secret`` names a Secret with credentials.
    """

    url: str
    ref: str
    path: str = "."
    secret: str | None = None

    @property
    def commit(self) -> str | None:
        """The commit, where the spec names one itself."""
        return None if self.ref.startswith("refs/") else self.ref


RemoteSource = ArchiveSource | GitSource
EngineSource = RequirementSource | PathSource
ConfigSource = RequirementSource | PathSource | ConfigMapSource | RemoteSource


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """Package indexes in the order in which they are asked; empty means the installer's own."""

    urls: tuple[str, ...] = ()
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions:
    """How the engine and the config are installed."""

    installer: Installer = Installer.UV
    dependencies: bool = True
    constraints: tuple[str, ...] = ()
    index: IndexOptions = IndexOptions()
    compile_bytecode: bool = True
    only_binary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """What is to be built, whole: defaults filled in, requirements parsed and normalised.

    ``python`` is the ``X.Y`` of the interpreter; ``*_s`` are seconds, ``None`` means without limit.
    """

    engine: EngineSource
    config: ConfigSource
    python: str
    install: InstallOptions
    verify_imports: tuple[str, ...]
    timeout_s: float
    ttl_s: float | None
    interval_s: float | None
    history_limit: int
    retention_s: float | None
