"""The operator's settings: environment variables that begin with ``ADE_``.

Units are in the names or in the descriptions; every default has a reason. An invalid value ends the
process at its start with a message that names the variable.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from shutil import which
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from uv import find_uv_bin

from configbuild.archives import Limits as SourceLimits
from configbuild.cage import Limits
from configbuild.layout import Layout
from configbuild.model import Installer
from configbuild.resource.convert import SpecDefaults
from configbuild.urls import HostPattern, parse_patterns
from configbuild.valkey_address import ValkeyAddress

_DATA = Path("/var/lib/configbuild")
_MIB = 1024**2
_GIB = 1024**3


def base_python() -> Path:
    """Find the interpreter behind the operator's own, which may be a virtual environment's."""
    # The attribute is CPython's and as old as venv; sysconfig tells no path of an interpreter.
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(os.path.realpath(base))


class Settings(BaseSettings):
    """Where things are, and what holds for specs that do not say otherwise."""

    model_config = SettingsConfigDict(env_prefix="ADE_", extra="ignore", frozen=True)

    venvs_dir: Path = Field(
        _DATA / "venvs", description="Virtual environments; consumers mount it at the same path."
    )
    logs_dir: Path = Field(_DATA / "logs", description="Journals of builds.")
    cache_dir: Path = Field(
        _DATA / "cache",
        description="Caches of the installers and scratch space. On the same file system as"
        " venvs_dir, or uv copies where it could link.",
    )
    sources_dir: Path = Field(
        _DATA / "sources", description="Source trees that specs name by path, a folder a namespace."
    )
    python_bin: Path = Field(
        default_factory=base_python,
        description="The default interpreter of builds: an absolute path that consumers have too.",
    )
    python_bins: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="More interpreters that specs may ask for, separated by commas."
    )
    uv_bin: Path = Field(
        default_factory=lambda: Path(find_uv_bin()), description="The uv that installs."
    )
    git_bin: Path = Field(
        default_factory=lambda: Path(which("git") or "/usr/bin/git"),
        description="The git that fetches git sources: 2.37 or later.",
    )
    engine_spec: str | None = Field(
        None, description="Engine of specs that name none: a PEP 508 requirement."
    )
    installer: Installer = Field(
        Installer.UV, description="Installer of specs that name none: uv, since it is far faster."
    )
    index_url: str | None = Field(
        None, description="Package index of specs that name none; unset: the installer's default."
    )
    wheelhouse: Path | None = Field(
        None, description="A directory of wheels: builds install from there and ask no index."
    )
    allowed_hosts: Annotated[tuple[HostPattern, ...], NoDecode] = Field(
        (),
        description="Hosts that are fetched from although their addresses are not public: host,"
        " .suffix, host:port or [address]:port, separated by commas; without a port 443.",
    )
    source_max_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1,
        description="Size of a source tree at most, and of an archive or pack that it comes in."
        " Many times what a package of rules has, and little enough to unpack in seconds.",
    )
    source_max_files: int = Field(10_000, ge=1, description="Files of a source tree at most.")
    source_max_ratio: int = Field(
        200,
        ge=1,
        description="How many times its own size an archive may unpack to, beyond the first MiB;"
        " sources pack to a tenth, and hardly anything but a bomb to less than a hundredth.",
    )
    build_timeout_seconds: float = Field(
        600, gt=0, description="Time for a build whose spec sets none, from its first step."
    )
    max_build_timeout_seconds: float = Field(
        3600, gt=0, description="Ceiling of spec.timeout, so that none can hold a place for ever."
    )
    build_ensure_wait_seconds: float = Field(
        30, ge=0, description="How long a waiting HTTP request waits for a build that runs."
    )
    build_interval_seconds: float = Field(
        600,
        ge=30,
        description="How often sources that can move are looked at, if a spec is silent.",
    )
    build_ttl_days: float | None = Field(
        None, gt=0, description="Environments older than this are built anew; unset: never."
    )
    build_history_limit: int = Field(5, ge=0, le=50, description="Earlier builds that are kept.")
    build_retention_days: float = Field(7, gt=0, description="How long earlier builds are kept.")
    replaced_keep_seconds: float = Field(
        86400,
        ge=0,
        description="How long an environment stays after another took its place: jobs that were"
        " planned with it may start yet.",
    )
    orphan_grace_seconds: float = Field(
        3600, ge=0, description="How long environments and journals that belong to no object stay."
    )
    log_store: Literal["configmap", "valkey", "off"] = Field(
        "configmap",
        description="Where logs are copied to, to outlive the operator's disk: to ConfigMaps,"
        " which every cluster has; a Valkey server; or nowhere.",
    )
    log_limit_bytes: int = Field(
        64 * 1024 * 1024,
        ge=4 * 1024 * 1024,
        description="Size of a build's journal at most; beyond it lines of the middle are left out."
        " So much is what a person may still search, and what a volume holds by the hundred.",
    )
    valkey_url: str | None = Field(
        None, description="The Valkey server of ADE_LOG_STORE=valkey; without a password."
    )
    valkey_password_file: Path | None = Field(
        None, description="A file with its password, read for each connection."
    )
    valkey_ca_file: Path | None = Field(
        None, description="Who signs for it (PEM); unset: whom the system trusts."
    )
    valkey_log_limit_bytes: int = Field(
        16 * 1024 * 1024,
        ge=256 * 1024,
        description="Compressed size of a log there at most. A journal at its limit takes half of"
        " it, so that it is for noise that does not compress.",
    )
    valkey_keep_days: float = Field(
        90,
        gt=0,
        description="When a log expires there that nobody removed; those of environments in use do"
        " so too, hence long after retention.",
    )
    cache_limit_bytes: int = Field(
        10 * _GIB,
        ge=0,
        description="Size of all caches at most; beyond it those that were not used for longest go."
        " Half of the volume that the shipped manifests ask for.",
    )
    relist_seconds: float = Field(
        300, gt=0, description="How often all objects are listed, to notice what a watch missed."
    )
    max_concurrency: int = Field(
        2, ge=1, description="Builds at once; installs want about a core each."
    )
    queue_limit: int = Field(
        1000, ge=1, description="Builds that may wait; beyond it HTTP answers 503."
    )
    safe_mode: bool = Field(
        False,
        description="Run no build: each fails with SafeMode, and is built once this is off again.",
    )
    grace_seconds: float = Field(
        5, ge=0, description="Between SIGTERM and SIGKILL when a build is ended."
    )
    sandbox: Literal["on", "off"] = Field(
        "on",
        description="Confine the commands of builds; off: they may do what the operator may.",
    )
    build_memory_bytes: int = Field(
        2 * _GIB,
        ge=_GIB,
        description="Memory of one process of a build: what a compiler may want, and the limit of"
        " the shipped pod. uv does not start with less than 1 GiB.",
    )
    build_processes: int = Field(
        1024,
        ge=64,
        description="Processes and threads of the operator's user at which those of builds start no"
        " more: far more than compilers start, far fewer than a node has.",
    )
    build_file_bytes: int = Field(
        4 * _GIB,
        ge=64 * _MIB,
        description="Size of one file that a build writes: larger than any library in a wheel.",
    )
    build_open_files: int = Field(
        1024,
        ge=64,
        description="Files that one process of a build holds open: what Linux gives by default.",
    )
    http_host: str = Field(
        "0.0.0.0",  # noqa: S104 - a pod's address is its own; TLS and tokens guard it
        description="Address of the HTTP API: TLS everywhere but on loopback.",
    )
    http_port: int = Field(8443, ge=0, le=65535, description="Port of the HTTP API; 0: any free.")
    auth: Literal["kubernetes", "off"] = Field(
        "kubernetes",
        description="Who is asked who a caller is and what they may do; off: nobody, on loopback.",
    )
    auth_audiences: str = Field(
        "configbuild.ade.dev",
        description="Audiences that a caller's token may be for, separated by commas.",
    )
    auth_api_audience: bool = Field(
        True, description="Take tokens that are for the API server as well, as kubectl has them."
    )
    auth_cache_seconds: float = Field(
        10,
        ge=0,
        description="How long the API server's yes to a caller holds; its no a fifth of that.",
    )
    auth_recheck_seconds: float = Field(
        60, gt=0, description="How often it is asked again whether a stream is still allowed."
    )
    tls_cert_file: Path | None = Field(
        None, description="Certificate and chain (PEM); unset: off loopback one is made."
    )
    tls_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    pod_namespace: str | None = Field(
        None, description="The operator's own namespace; unset: that of its service account."
    )
    pod_ip: str | None = Field(
        None, description="An address for the certificate that is made, besides loopback."
    )
    service_name: str = Field(
        "configbuild-operator", description="The Service before the operator, for its certificate."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Level of the operator's own log."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="Form of that log: lines for people, or JSON with build ids for collectors.",
    )

    @field_validator("python_bins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _patterns(cls, value: object) -> object:
        return parse_patterns(value) if isinstance(value, str) else value

    @field_validator("http_host")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value != "localhost":
            ipaddress.ip_address(value)
        return value

    @field_validator("valkey_url")
    @classmethod
    def _is_valkey(cls, value: str | None) -> str | None:
        if value is not None:
            ValkeyAddress.parse(value)
        return value

    @model_validator(mode="after")
    def _names_its_log_store(self) -> Self:
        if self.log_store == "valkey" and self.valkey_url is None:
            raise ValueError("ADE_LOG_STORE=valkey: set ADE_VALKEY_URL as well")
        if self.valkey_ca_file is not None and not (self.valkey_url or "").startswith("valkeys:"):
            raise ValueError("ADE_VALKEY_CA_FILE: that is for valkeys:// in ADE_VALKEY_URL")
        return self

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("ADE_TLS_CERT_FILE and ADE_TLS_KEY_FILE: set both or none")
        if not self.audiences and not self.auth_api_audience:
            raise ValueError("ADE_AUTH_AUDIENCES: no token would be good; name an audience")
        if self.auth == "off" and not self.on_loopback:
            raise ValueError(
                f"ADE_AUTH=off: everybody who reaches {self.http_host} could read and start builds;"
                " that is for a loopback address only (ADE_HTTP_HOST=127.0.0.1)"
            )
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether the HTTP API is reached from this machine only."""
        return self.http_host == "localhost" or ipaddress.ip_address(self.http_host).is_loopback

    def server_names(self, namespace: str) -> list[str]:
        """List the names by which clients reach the HTTP API of a pod in ``namespace``."""
        service = f"{self.service_name}.{namespace}"
        names = [f"{service}.svc", f"{service}.svc.cluster.local", service, self.service_name]
        # A forwarded port is reached by these.
        names += ["localhost", "127.0.0.1", "::1"]
        if self.pod_ip:
            names.append(self.pod_ip)
        if not ipaddress.ip_address(self.http_host).is_unspecified:
            names.append(self.http_host)
        return names

    @property
    def audiences(self) -> tuple[str, ...]:
        """What a caller's token may be for."""
        return tuple(part for part in self.auth_audiences.split(",") if part)

    @property
    def layout(self) -> Layout:
        """The operator's directories, absolute."""
        return Layout(
            venvs=self.venvs_dir.absolute(),
            logs=self.logs_dir.absolute(),
            cache=self.cache_dir.absolute(),
            sources=self.sources_dir.absolute(),
        )

    @property
    def source_limits(self) -> SourceLimits:
        """How much a source may hold."""
        return SourceLimits(
            files=self.source_max_files, bytes=self.source_max_bytes, ratio=self.source_max_ratio
        )

    @property
    def limits(self) -> Limits:
        """What a command of a build may use up."""
        return Limits(
            memory_bytes=self.build_memory_bytes,
            processes=self.build_processes,
            file_bytes=self.build_file_bytes,
            open_files=self.build_open_files,
        )

    def spec_defaults(self, python: str) -> SpecDefaults:
        """Give what fills in what a spec leaves out; ``python`` is the default's ``X.Y``."""
        return SpecDefaults(
            python=python,
            engine=self.engine_spec,
            installer=self.installer,
            index_url=self.index_url,
            timeout_s=self.build_timeout_seconds,
            max_timeout_s=self.max_build_timeout_seconds,
            ttl_s=self.build_ttl_days * 86400 if self.build_ttl_days else None,
            interval_s=self.build_interval_seconds,
            history_limit=self.build_history_limit,
            retention_s=self.build_retention_days * 86400,
        )
