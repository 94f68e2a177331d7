"""Resolves the two sources of a spec: what is declared, by what stands there now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import assert_never

from configbuild.archives import Limits
from configbuild.errors import LauncherError, SourceError, SourceKindError, SpecError
from configbuild.layout import Layout
from configbuild.model import (
    ArchiveSource,
    BuildSpec,
    ConfigMapSource,
    EngineSource,
    GitSource,
    IndexOptions,
    PathSource,
    RequirementSource,
)
from configbuild.sources.archive import ArchiveTree
from configbuild.sources.config_maps import ConfigMaps, config_map_tree
from configbuild.sources.git import Git, Repository
from configbuild.sources.hosts import HostRules
from configbuild.sources.index import IndexAccess
from configbuild.sources.remote import RemoteTree, Run
from configbuild.sources.secrets import NoSecrets, Secrets, read_credentials
from configbuild.trees import DirectoryTree, Tree, TreeError
from configbuild.urls import HttpsUrl

# Reading a ConfigMap takes milliseconds, a tree of 128 MiB some seconds: beyond this the API server
# or the volume is in trouble, and waiting would only hide it.
RESOLVE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSources:
    """The trees of a build; ``None`` where a requirement takes the tree's place.

    ``remote`` is the config's, where it is still to be fetched; ``index`` says how the package
    indexes are got at.
    """

    engine: Tree | None
    config: Tree | None
    remote: RemoteTree | None = None
    index: IndexAccess = field(default_factory=IndexAccess)

    @property
    def config_digest(self) -> str | None:
        """What identifies the config's content; ``None`` where it is a requirement."""
        tree = self.remote or self.config
        return None if tree is None else tree.digest

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Values that no log may show."""
        return (*(self.remote.secrets if self.remote is not None else ()), *self.index.secrets)

    @property
    def moving(self) -> bool:
        """Whether a source can change without the spec."""
        trees = self.engine is not None or self.config is not None
        return trees or (self.remote is not None and self.remote.moving)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResolver:
    """Resolves sources by the operator's directories, the cluster's objects and the network.

    ``trusted_index`` is the one of the settings; ``asks_indexes`` is false with a wheelhouse.
    """

    layout: Layout
    config_maps: ConfigMaps
    limits: Limits = field(default_factory=Limits)
    hosts: HostRules = field(default_factory=HostRules)
    secrets: Secrets = field(default_factory=NoSecrets)
    trusted_index: str | None = None
    asks_indexes: bool = True
    git: Git | None = None
    run: Run | None = None

    async def resolve(self, namespace: str, spec: BuildSpec) -> ResolvedSources:
        """Resolve both sources of a spec.

        :class:`SpecError` if a source can never be built from as it is declared,
        :class:`SourceError` if it is not there now. Cancellation leaves nothing behind.
        """
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                sources = await self._trees(namespace, spec)
                return replace(sources, index=await self._index(namespace, spec.install.index))
        except TimeoutError:
            raise SourceError(
                "spec.config", f"could not be read within {RESOLVE_TIMEOUT_S:.0f} s"
            ) from None

    async def _trees(self, namespace: str, spec: BuildSpec) -> ResolvedSources:
        if isinstance(spec.engine, PathSource) and isinstance(spec.config, PathSource):
            return await asyncio.to_thread(
                self._both_path_trees, namespace, spec.engine.path, spec.config.path
            )
        return await self._one_by_one(namespace, spec)

    async def _index(self, namespace: str, options: IndexOptions) -> IndexAccess:
        if not self.asks_indexes:
            return IndexAccess()
        access = IndexAccess(options=options, hosts=self.hosts, trusted=self.trusted_index)
        await access.refuse_early()
        if options.secret is None:
            return access
        field = "spec.install.index.secretRef"
        credentials = await read_credentials(self.secrets, namespace, options.secret, field)
        access = replace(access, credentials=credentials)
        access.require_a_use()
        return access

    def _both_path_trees(self, namespace: str, engine: str, config: str) -> ResolvedSources:
        """Read both trees in one visit to a thread, since most configs have two."""
        return ResolvedSources(
            engine=self._path_tree(namespace, engine, "spec.engine.path"),
            config=self._path_tree(namespace, config, "spec.config.path"),
        )

    def _path_tree(self, namespace: str, path: str, field: str) -> Tree:
        root = self.layout.namespace_sources(namespace)
        return _scan(root, path, field=field, limits=self.limits)

    async def _one_by_one(self, namespace: str, spec: BuildSpec) -> ResolvedSources:
        engine = await self._tree(namespace, spec.engine, "spec.engine")
        match spec.config:
            case ArchiveSource():
                remote = await self._archive(spec.config)
                return ResolvedSources(engine=engine, config=None, remote=remote)
            case GitSource():
                remote = await self._git(namespace, spec.config)
                return ResolvedSources(engine=engine, config=None, remote=remote)
        config = await self._tree(namespace, spec.config, "spec.config")
        return ResolvedSources(engine=engine, config=config)

    async def _archive(self, source: ArchiveSource) -> RemoteTree:
        await self.hosts.refuse_early(source.url, "spec.config.archive.url")
        return ArchiveTree(source=source, hosts=self.hosts, limits=self.limits)

    async def _git(self, namespace: str, source: GitSource) -> RemoteTree:
        if self.git is None or self.run is None:
            raise SourceKindError("spec.config.git", "is not built from here: there is no git")
        credentials = None
        if source.secret is not None:
            field = "spec.config.git.secretRef"
            credentials = await read_credentials(self.secrets, namespace, source.secret, field)
            credentials.require(HttpsUrl.parse(source.url), field)
        repository = Repository(
            source=source,
            git=self.git,
            hosts=self.hosts,
            limits=self.limits,
            credentials=credentials,
        )
        with TemporaryDirectory(prefix="configbuild-git-") as directory:
            try:
                return await repository.resolve(self.run, Path(directory))
            except LauncherError as error:
                # Of the machine and not of the spec, such as a kernel without a sandbox.
                raise SourceError("spec.config.git", error.message, reason=error.reason) from error

    async def _tree(
        self, namespace: str, source: EngineSource | ConfigMapSource, field: str
    ) -> Tree | None:
        match source:
            case RequirementSource():
                return None
            case PathSource(path=path):
                return await asyncio.to_thread(self._path_tree, namespace, path, f"{field}.path")
            case ConfigMapSource():
                return await config_map_tree(self.config_maps, namespace, source, self.limits)
            case _:
                assert_never(source)


def _scan(root: Path, path: str, *, field: str, limits: Limits) -> Tree:
    tree = root / path
    try:
        resolved = tree.resolve(strict=True)
    except (OSError, RuntimeError):
        raise SourceError(
            field,
            f"there is no folder {path!r} among the sources of this namespace; put it below"
            f" {root.name}/ on the operator's sources volume, or correct the path",
            reason="SourceNotFound",
            missing=True,
        ) from None
    if not resolved.is_relative_to(root.resolve()):
        raise SpecError(
            field, f"{path!r} leads outside the sources of this namespace", reason="PathOutsideRoot"
        )
    if not resolved.is_dir():
        raise SpecError(field, f"{path!r} is not a folder", reason="SourceInvalid")
    try:
        return DirectoryTree.scan(resolved, limits)
    except TreeError as error:
        raise SpecError(field, error.message, reason=error.reason) from error
    except OSError as error:
        raise SourceError(field, f"{path!r} cannot be read: {error.strerror}") from error
