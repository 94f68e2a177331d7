"""From the sources that a spec names to something that no longer moves.

Resolving happens outside any build and is bounded in time. A requirement resolves to itself; a
ConfigMap or a path to a :class:`~configbuild.trees.Tree`, whose digest goes into the fingerprint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, assert_never

from configbuild.archives import ArchiveError, Limits, TreeFile, read_archive
from configbuild.errors import SourceError, SpecError
from configbuild.layout import Layout
from configbuild.model import (
    BuildSpec,
    ConfigMapSource,
    ConfigSource,
    PathSource,
    RequirementSource,
)
from configbuild.trees import DirectoryTree, MemoryTree, Tree, TreeError

# Reading a ConfigMap takes milliseconds, a tree of 128 MiB some seconds: beyond this the API server
# or the volume is in trouble, and waiting would only hide it.
RESOLVE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapContent:
    """What a ConfigMap holds: texts under ``data``, bytes under ``binary_data``."""

    data: Mapping[str, str]
    binary_data: Mapping[str, bytes]

    def content(self, key: str) -> bytes | None:
        """Look a key up in both halves."""
        if key in self.binary_data:
            return self.binary_data[key]
        text = self.data.get(key)
        return None if text is None else text.encode()

    def keys(self) -> list[str]:
        """List all keys, sorted."""
        return sorted({*self.data, *self.binary_data})


class ConfigMaps(Protocol):
    """Where ConfigMaps come from: the API server, or a file."""

    async def get(self, namespace: str, name: str) -> ConfigMapContent | None:
        """Fetch one; ``None`` if there is none. :class:`SourceError` if nobody answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSources:
    """The trees of a build; ``None`` where a requirement takes the tree's place."""

    engine: Tree | None
    config: Tree | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResolver:
    """Resolves sources by the operator's directories and the cluster's ConfigMaps."""

    layout: Layout
    config_maps: ConfigMaps
    limits: Limits = field(default_factory=Limits)

    async def resolve(self, namespace: str, spec: BuildSpec) -> ResolvedSources:
        """Resolve both sources of a spec.

        :class:`SpecError` if a source can never be built from as it is declared,
        :class:`SourceError` if it is not there now. Cancellation leaves nothing behind.
        """
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                if isinstance(spec.engine, PathSource) and isinstance(spec.config, PathSource):
                    return await asyncio.to_thread(
                        self._both_path_trees, namespace, spec.engine.path, spec.config.path
                    )
                return ResolvedSources(
                    engine=await self._tree(namespace, spec.engine, "spec.engine"),
                    config=await self._tree(namespace, spec.config, "spec.config"),
                )
        except TimeoutError:
            raise SourceError(
                "spec.config", f"could not be read within {RESOLVE_TIMEOUT_S:.0f} s"
            ) from None

    def _both_path_trees(self, namespace: str, engine: str, config: str) -> ResolvedSources:
        """Read both trees in one visit to a thread, since most configs have two."""
        return ResolvedSources(
            engine=self._path_tree(namespace, engine, "spec.engine.path"),
            config=self._path_tree(namespace, config, "spec.config.path"),
        )

    def _path_tree(self, namespace: str, path: str, field: str) -> Tree:
        root = self.layout.namespace_sources(namespace)
        return _scan(root, path, field=field, limits=self.limits)

    async def _tree(self, namespace: str, source: ConfigSource, field: str) -> Tree | None:
        match source:
            case RequirementSource():
                return None
            case PathSource(path=path):
                return await asyncio.to_thread(self._path_tree, namespace, path, f"{field}.path")
            case ConfigMapSource():
                return await self._config_map_tree(namespace, source)
            case _:
                assert_never(source)

    async def _config_map_tree(self, namespace: str, source: ConfigMapSource) -> Tree:
        where = "spec.config.configMap"
        content = await self.config_maps.get(namespace, source.name)
        if content is None:
            raise SourceError(
                f"{where}.name",
                f"there is no ConfigMap {source.name!r} in namespace {namespace!r}; create it, or"
                " correct the name",
                reason="ConfigMapNotFound",
                missing=True,
            )
        if source.archive_key is not None:
            return await asyncio.to_thread(_archive_tree, content, source, self.limits)
        if not source.items:
            names = {key: key for key in content.keys()}  # noqa: SIM118 - not a mapping
        else:
            names = {item.path: item.key for item in source.items}
        files = {
            path: TreeFile(content=_key(content, key, source.name, f"{where}.items"))
            for path, key in names.items()
        }
        if not files:
            raise SourceError(
                f"{where}.name", f"the ConfigMap {source.name!r} is empty", missing=True
            )
        return MemoryTree(files=files)


def _key(content: ConfigMapContent, key: str, name: str, field: str) -> bytes:
    value = content.content(key)
    if value is None:
        there = ", ".join(content.keys()) or "none"
        raise SourceError(
            field,
            f"the ConfigMap {name!r} has no key {key!r}; it has: {there}",
            reason="ConfigMapKeyNotFound",
            missing=True,
        )
    return value


def _archive_tree(content: ConfigMapContent, source: ConfigMapSource, limits: Limits) -> Tree:
    field = "spec.config.configMap.archiveKey"
    assert source.archive_key is not None
    data = _key(content, source.archive_key, source.name, field)
    try:
        files = read_archive(data, limits)
    except ArchiveError as error:
        raise SpecError(
            field, f"{source.archive_key!r} of {source.name!r}: {error}", reason="SourceInvalid"
        ) from error
    if not files:
        raise SpecError(
            field,
            f"{source.archive_key!r} of {source.name!r} holds no files",
            reason="SourceInvalid",
        )
    return MemoryTree(files=files)


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
