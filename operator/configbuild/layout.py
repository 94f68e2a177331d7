"""Where things of a build lie. Pure: the one place where these paths are put together.

::

    <venvs>/<namespace>/<name>/<ulid>/     a venv, never moved, with its receipt inside
    <logs>/<ulid>.ndjson                   a journal
    <cache>/<namespace>/uv/, pip/          the installers' caches, for all configs
    <cache>/<namespace>/configs/<name>/    the same for one config: all that its code may write to
    <cache>/.scratch/<ulid>/               what a build needs while it runs; removed at its end
    <sources>/<namespace>/<path>           source trees that specs name by path
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configbuild.model import BuildId, ConfigKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The operator's directories (absolute)."""

    venvs: Path
    logs: Path
    cache: Path
    sources: Path

    def config_venvs(self, key: ConfigKey) -> Path:
        """Folder of all venvs of a config."""
        return self.venvs / key.namespace / key.name

    def build(self, key: ConfigKey, build_id: BuildId) -> BuildPaths:
        """Paths of one build."""
        return BuildPaths(
            venv=self.config_venvs(key) / build_id.ulid,
            scratch=self.scratch_root / build_id.ulid,
            cache=self.cache / key.namespace,
            own_cache=self.cache / key.namespace / "configs" / key.name,
        )

    @property
    def scratch_root(self) -> Path:
        """Folder of what running builds need."""
        # A namespace never begins with a dot, so this is none of theirs.
        return self.cache / ".scratch"

    def namespace_sources(self, namespace: str) -> Path:
        """Folder below which a namespace's source trees lie."""
        return self.sources / namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLayout(Layout):
    """The directories of a build without a cluster: one person's sources, for any namespace."""

    def namespace_sources(self, namespace: str) -> Path:
        """Folder below which source trees lie: ``sources`` itself."""
        del namespace
        return self.sources


@dataclass(frozen=True, slots=True)
class Caches:
    """The caches of both installers."""

    root: Path

    @property
    def uv(self) -> Path:
        """Cache of uv."""
        return self.root / "uv"

    @property
    def pip(self) -> Path:
        """Cache of pip."""
        return self.root / "pip"


@dataclass(frozen=True, slots=True)
class IndexPaths:
    """Where commands work that fetch with credentials: no code of a package ever writes here."""

    root: Path

    @property
    def home(self) -> Path:
        """Their ``HOME``."""
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        """Their ``TMPDIR``."""
        return self.root / "tmp"

    @property
    def ca(self) -> Path:
        """Authorities that the index is checked by, where its Secret brings them."""
        return self.root / "ca.crt"

    @property
    def config(self) -> Path:
        """The indexes as uv is told of them; it holds no credentials."""
        return self.root / "uv.toml"

    @property
    def wheels(self) -> Path:
        """Where the wheels go."""
        return self.root / "wheels"

    @property
    def venv(self) -> Path:
        """A venv for the pip that fetches."""
        return self.root / "venv"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPaths:
    """The places that one build reads and writes."""

    venv: Path
    scratch: Path
    cache: Path
    own_cache: Path

    @property
    def python(self) -> Path:
        """Interpreter of the venv."""
        return self.venv / "bin" / "python"

    def site_packages(self, minor: str) -> Path:
        """Folder of the installed packages, for a Python ``X.Y``."""
        return self.venv / "lib" / f"python{minor}" / "site-packages"

    @property
    def runtime(self) -> Path:
        """Folder of the receipt inside the venv."""
        return self.venv / "ade-runtime"

    @property
    def receipt(self) -> Path:
        """``build.json``: what was built, from what, by which commands."""
        return self.runtime / "build.json"

    @property
    def packages(self) -> Path:
        """``packages.txt``: every installed distribution."""
        return self.runtime / "packages.txt"

    @property
    def lock(self) -> Path:
        """``pylock.toml``: what is needed to install the same once more (PEP 751)."""
        return self.runtime / "pylock.toml"

    @property
    def bom(self) -> Path:
        """``sbom.cdx.json``: a bill of materials (CycloneDX)."""
        return self.runtime / "sbom.cdx.json"

    @property
    def home(self) -> Path:
        """``HOME`` of the commands."""
        return self.scratch / "home"

    @property
    def tmp(self) -> Path:
        """``TMPDIR`` of the commands."""
        return self.scratch / "tmp"

    @property
    def caches(self) -> Caches:
        """The caches that all configs of the namespace share; no code of a package writes there."""
        return Caches(self.cache)

    @property
    def own_caches(self) -> Caches:
        """The config's own caches, for commands that run code of packages."""
        return Caches(self.own_cache)

    @property
    def kept_wheels(self) -> Path:
        """Wheels that earlier builds of the config made of source trees."""
        return self.own_cache / "wheels"

    @property
    def kept_bytecode(self) -> Path:
        """Bytecode of the config's last venv; no code of a package writes there."""
        return self.own_cache / "bytecode"

    @property
    def unpacked_tools(self) -> Path:
        """Where uv unpacks what the config's wheels are built with."""
        return self.own_caches.uv / "archive-v0"

    @property
    def compiled_tools(self) -> Path:
        """What of it has been compiled to bytecode; no code of a package writes there."""
        return self.own_cache / "compiled-tools"

    @property
    def passing_caches(self) -> Caches:
        """Caches for commands that may leave nothing behind; they go with scratch."""
        return Caches(self.scratch / "cache")

    @property
    def fetched(self) -> Path:
        """Where a remote source is fetched to, before it is the config's tree."""
        return self.scratch / "fetched"

    @property
    def index(self) -> IndexPaths:
        """The places of commands that have credentials for an index."""
        return IndexPaths(self.scratch / "index")

    @property
    def index_caches(self) -> Caches:
        """The config's caches of what credentials gave; no code of a package writes there."""
        return Caches(self.own_cache / "index")

    @property
    def engine_tree(self) -> Path:
        """Scratch copy of the engine's source tree."""
        return self.scratch / "engine"

    @property
    def config_tree(self) -> Path:
        """Scratch copy of the config's source tree."""
        return self.scratch / "config"

    @property
    def engine_wheels(self) -> Path:
        """Where the engine's tree is built to a wheel."""
        return self.scratch / "engine-wheel"

    @property
    def config_wheels(self) -> Path:
        """Where the config's tree is built to a wheel."""
        return self.scratch / "config-wheel"

    @property
    def built(self) -> Path:
        """What is built of dependencies that come without a wheel."""
        return self.tmp / "built"

    @property
    def constraints(self) -> Path:
        """The spec's constraints, as a file."""
        return self.scratch / "constraints.txt"

    @property
    def engine_hold(self) -> Path:
        """A constraint that holds the engine at its installed version."""
        return self.scratch / "engine-hold.txt"

    @property
    def engine_facts(self) -> Path:
        """What was installed as the engine (JSON), for the verification to compare."""
        return self.scratch / "engine.json"

    @property
    def metadata(self) -> Path:
        """What ``collect_metadata`` found (JSON)."""
        return self.scratch / "metadata.json"

    @property
    def pip_report(self) -> Path:
        """What pip says that it installed (JSON), read after each of its steps."""
        return self.scratch / "pip-report.json"

    @property
    def lookup(self) -> Path:
        """Where uv looks up what the index said of the wheels that are installed."""
        return self.scratch / "lookup"

    @property
    def pins(self) -> Path:
        """The distributions that uv is to look up, as requirements."""
        return self.lookup / "pins.txt"

    @property
    def looked_up(self) -> Path:
        """What uv found (PEP 751)."""
        return self.lookup / "pylock.toml"
