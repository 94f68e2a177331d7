"""A source tree out of a ConfigMap."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from configbuild.archives import ArchiveError, Limits, TreeFile, read_archive
from configbuild.errors import SourceError, SpecError
from configbuild.model import ConfigMapSource
from configbuild.trees import MemoryTree, Tree


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


async def config_map_tree(
    config_maps: ConfigMaps, namespace: str, source: ConfigMapSource, limits: Limits
) -> Tree:
    """Read a ConfigMap as a tree.

    :class:`SourceError` if it or a key is not there, :class:`SpecError` if it holds what cannot be
    built from.
    """
    where = "spec.config.configMap"
    content = await config_maps.get(namespace, source.name)
    if content is None:
        raise SourceError(
            f"{where}.name",
            f"there is no ConfigMap {source.name!r} in namespace {namespace!r}; create it, or"
            " correct the name",
            reason="ConfigMapNotFound",
            missing=True,
        )
    if source.archive_key is not None:
        return await asyncio.to_thread(_archive_tree, content, source, limits)
    if not source.items:
        names = {key: key for key in content.keys()}  # noqa: SIM118 - not a mapping
    else:
        names = {item.path: item.key for item in source.items}
    files = {
        path: TreeFile(content=_key(content, key, source.name, f"{where}.items"))
        for path, key in names.items()
    }
    if not files:
        raise SourceError(f"{where}.name", f"the ConfigMap {source.name!r} is empty", missing=True)
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
