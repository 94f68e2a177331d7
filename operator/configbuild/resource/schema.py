"""The pydantic models of a ``ConfigBuild``, above all of what authors write in ``spec``.

The CustomResourceDefinition is generated from these models, descriptions included, so they are
written for ``kubectl explain``. Every string and list is bounded: without bounds the API server
refuses CEL rules as too costly.

No field of ``spec`` has a schema default. What the operator's settings can give (timeout, Python,
engine …) is filled in when a build is made, so that an object in Git stays as its author wrote it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configbuild.durations import LONGEST_S, parse_duration
from configbuild.durations import PATTERN as DURATION_PATTERN
from configbuild.resource.rules import ApiModel, Rule, exactly_one_of, matches

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"


def _is_relative(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/") and "\\" not in path


def _at_least(limit: str) -> Rule:
    return Rule(
        cel=f"!self.matches('{DURATION_PATTERN.replace(chr(92), chr(92) * 2)}')"
        f" || duration(self) >= duration('{limit}')",
        message=f"must be at least {limit}",
        # CEL's duration() fails beyond what Go can hold, which refuses the value as well.
        holds=lambda text: parse_duration(limit) <= parse_duration(text) <= LONGEST_S,
    )


_IS_DURATION = matches(
    DURATION_PATTERN, "must be a duration: a number and its unit, for instance 90s, 10m or 1h30m"
)

Name = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matches(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.'",
    ),
]
RelativePath = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Rule(
        cel=r"!self.startsWith('/') && !self.split('/').exists(p, p == '..')"
        r" && !self.contains('\\')",
        message="must be a relative path with forward slashes and without '..'",
        holds=_is_relative,
    ),
]
Requirement = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    matches(
        r"^[A-Za-z0-9][^\r\n]*$",
        "must be a PEP 508 requirement that begins with a package name, for instance 'pandas<3'",
    ),
    Rule(
        cel="!self.contains('@')",
        message="must name a package from an index; direct references"
        " ('name @ URL') are not allowed",
        holds=lambda text: "@" not in text,
    ),
]
HttpsUrl = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    matches(
        # Printable ASCII, spelled out: \s is not the same to RE2 and to Python. No @ in the host.
        r"^https://[!-.0-?A-~]+(/[!-~]*)?$",
        "must be an https:// URL without user name or password; credentials go into secretRef",
    ),
]
ImportName = Annotated[
    str,
    Field(min_length=1, max_length=256),
    matches(
        rf"^{_IDENTIFIER}(\.{_IDENTIFIER})*$",
        "must be a name that Python can import, for instance ade_config or ade_config.rules",
    ),
]
Timeout = Annotated[str, Field(max_length=32), _IS_DURATION, _at_least("1s")]
Interval = Annotated[str, Field(max_length=32), _IS_DURATION, _at_least("30s")]
Ttl = Annotated[str, Field(max_length=32), _IS_DURATION, _at_least("1m")]


class SecretReference(ApiModel):
    """A Secret in the same namespace."""

    name: Name = Field(description="Name of a Secret in this ConfigBuild's namespace.")


class EngineSpec(ApiModel):
    """The engine that runs the config."""

    requirement: Requirement | None = Field(
        None,
        description="A PEP 508 requirement from the package index, for instance ade-engine==1.4.0.",
    )
    path: RelativePath | None = Field(
        None,
        description="A source tree on the operator's sources volume, relative to the folder of this"
        " namespace there.",
    )

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (exactly_one_of("requirement", "path"),)


class ItemSpec(ApiModel):
    """One key of a ConfigMap and where its content goes, as in ``items`` of a volume."""

    key: Annotated[str, Field(min_length=1, max_length=253, description="A key of the ConfigMap.")]
    path: RelativePath = Field(
        description="The file in the source tree, relative to its top; folders are made."
    )


class ConfigMapSpec(ApiModel):
    """A config package kept in a ConfigMap."""

    name: Name = Field(description="Name of a ConfigMap in this ConfigBuild's namespace.")
    items: Annotated[list[ItemSpec], Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="Which keys become which files, as in items of a volume. Left out: every key"
        " becomes a file of its own name at the top of the tree.",
    )
    archive_key: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None,
        description="A key under binaryData that holds the whole tree as a .zip or .tar.gz.",
    )

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (
            Rule(
                cel="!(has(self.items) && has(self.archiveKey))",
                message="set items or archiveKey, not both",
                holds=lambda spec: spec.items is None or spec.archive_key is None,
            ),
        )


class GitRefSpec(ApiModel):
    """What of a Git repository is taken."""

    branch: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="A branch; it is resolved again every spec.interval."
    )
    tag: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="A tag."
    )
    commit: (
        Annotated[
            str,
            Field(max_length=64),
            matches(
                "^[0-9a-f]{40}([0-9a-f]{24})?$", "must be a whole commit id: 40 or 64 hex digits"
            ),
        ]
        | None
    ) = Field(None, description="A commit, by its whole id.")

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (exactly_one_of("branch", "tag", "commit"),)


class GitSpec(ApiModel):
    """A config package in a Git repository."""

    url: HttpsUrl = Field(description="The repository, as an https:// URL.")
    ref: GitRefSpec = Field(description="The branch, tag or commit to take.")
    path: RelativePath | None = Field(
        None, description="The package's folder in the repository; left out: its top."
    )
    secret_ref: SecretReference | None = Field(
        None, description="A Secret with username and password, and ca.crt where one is needed."
    )


class ArchiveSpec(ApiModel):
    """A config package in an archive that is downloaded."""

    url: HttpsUrl = Field(description="A .zip or .tar.gz, as an https:// URL.")
    sha256: Annotated[
        str, Field(max_length=64), matches("^[0-9a-f]{64}$", "must be 64 lower-case hex digits")
    ] = Field(description="SHA-256 of the archive; another content is refused.")
    path: RelativePath | None = Field(
        None, description="The package's folder in the archive; left out: its top."
    )


class ConfigSpec(ApiModel):
    """Where the config package comes from: exactly one of these."""

    config_map: ConfigMapSpec | None = Field(
        None, description="A ConfigMap of this namespace holds the package's files."
    )
    git: GitSpec | None = Field(None, description="A Git repository holds the package.")
    archive: ArchiveSpec | None = Field(None, description="A downloadable archive holds it.")
    requirement: Requirement | None = Field(
        None,
        description="A PEP 508 requirement from the package index, for instance ade-config==2.1.",
    )
    path: RelativePath | None = Field(
        None,
        description="A source tree on the operator's sources volume, relative to the folder of this"
        " namespace there.",
    )

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (exactly_one_of("configMap", "git", "archive", "requirement", "path"),)


class IndexSpec(ApiModel):
    """Which package index is asked."""

    url: HttpsUrl | None = Field(
        None, description="The package index (PEP 503); left out: the operator's own."
    )
    extra_urls: Annotated[list[HttpsUrl], Field(max_length=8)] | None = Field(
        None,
        description="More indexes, asked in this order after url; the first that has a package"
        " wins. With the installer uv only.",
    )
    secret_ref: SecretReference | None = Field(
        None, description="A Secret with username and password for the index."
    )

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (
            Rule(
                cel="!has(self.extraUrls) || has(self.url)",
                message="extraUrls come after url: set url too",
                holds=lambda spec: spec.extra_urls is None or spec.url is not None,
            ),
        )


class InstallSpec(ApiModel):
    """How the engine and the config are installed."""

    installer: Literal["uv", "pip"] | None = Field(
        None, description="The program that installs: uv (fast) or pip."
    )
    dependencies: bool | None = Field(
        None, description="Install what the packages depend on, too. false is pip's --no-deps."
    )
    constraints: Annotated[list[Requirement], Field(max_length=256)] | None = Field(
        None, description="Bounds on versions of whatever gets installed, for instance pandas<3."
    )
    index: IndexSpec | None = Field(None, description="Which package index is asked.")
    compile_bytecode: bool | None = Field(
        None,
        description="Compile to bytecode at install. Consumers mount the environment read-only and"
        " would otherwise compile at every start.",
    )
    only_binary: bool | None = Field(
        None,
        description="Take packages from the index as wheels only. Not a security control.",
    )

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (
            Rule(
                cel="!(has(self.installer) && self.installer == 'pip'"
                " && has(self.index) && has(self.index.extraUrls))",
                message="index.extraUrls work with the installer uv only: pip mixes indexes without"
                " an order",
                holds=lambda spec: (
                    not (
                        spec.installer == "pip"
                        and spec.index is not None
                        and spec.index.extra_urls is not None
                    )
                ),
            ),
        )


class VerifySpec(ApiModel):
    """What has to work before an environment is used."""

    imports: Annotated[list[ImportName], Field(min_length=1, max_length=64)] | None = Field(
        None, description="Modules that must import from inside the environment."
    )


class HistorySpec(ApiModel):
    """How long records of earlier builds are kept; both limits trim."""

    limit: Annotated[int, Field(ge=0, le=50)] | None = Field(
        None, description="How many earlier builds are kept."
    )
    retention: Ttl | None = Field(None, description="How long an earlier build is kept.")


def _has_tree(spec: ConfigBuildSpec) -> bool:
    config = spec.config
    trees = (config.config_map, config.git, config.archive, config.path)
    return any(trees) or (spec.engine is not None and spec.engine.path is not None)


class ConfigBuildSpec(ApiModel):
    """What is to be built: an engine and a config package, frozen into one environment."""

    engine: EngineSpec | None = Field(
        None, description="The engine that runs the config; left out: the operator's default."
    )
    config: ConfigSpec = Field(description="The config package: exactly one kind of source.")
    python: (
        Annotated[
            str,
            Field(max_length=8),
            matches(r"^3\.[0-9]{1,2}$", 'must be a Python version as X.Y in quotes: "3.12"'),
        ]
        | None
    ) = Field(None, description='The Python version, as "X.Y"; left out: the operator\'s default.')
    interval: Interval | None = Field(
        None, description="How often a source that can move (git branch, configMap) is looked at."
    )
    install: InstallSpec | None = Field(None, description="How packages are installed.")
    verify: VerifySpec | None = Field(
        None, description="What has to work before the environment is used."
    )
    timeout: Timeout | None = Field(
        None, description="How long a build may take, counted from its first step."
    )
    ttl: Ttl | None = Field(
        None, description="Build anew when the environment is older. Never deletes this object."
    )
    history: HistorySpec | None = Field(None, description="How long earlier builds are kept.")
    suspend: bool | None = Field(
        None, description="true: start no build until this is false again."
    )

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """List the checks on the object as a whole."""
        return (
            Rule(
                cel="!(has(self.install) && has(self.install.onlyBinary)"
                " && self.install.onlyBinary && (!has(self.config.requirement)"
                " || has(self.engine) && has(self.engine.path)))",
                message="install.onlyBinary refuses source trees: take engine and config by"
                " requirement, or leave onlyBinary out",
                holds=lambda spec: (
                    not (spec.install and spec.install.only_binary and _has_tree(spec))
                ),
            ),
        )
