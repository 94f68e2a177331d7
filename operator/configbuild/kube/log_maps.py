"""Logs in ConfigMaps: the store that every cluster has.

Each chunk is a ConfigMap of the config's namespace, owned by the ConfigBuild, so that it goes with
it. A chunk that is final is immutable. What a reader takes for a log is what status lists: a
ConfigMap of that name with another uid or other data was not written by the operator, and counts
for nothing.

Source: Kubernetes ConfigMap v1 (at most 1 MiB of data, ``immutable``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from configbuild.kube.client import BUILD_LABEL, FIELD_MANAGER, Right
from configbuild.kube.rest import (
    FAILURES,
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    Rest,
    words_of,
)
from configbuild.logstore import Chunk, LogOwner, LogStoreError, StoredLog
from configbuild.logstore.chunks import ChunkContent, ChunkedLog
from configbuild.logstore.config_maps import STORE, body_of, chunk_of, lines_of
from configbuild.logstore.joining import Joint
from configbuild.resource import API_VERSION, KIND

NEEDED = (
    Right("create", "", "configmaps"),
    Right("patch", "", "configmaps"),
    Right("delete", "", "configmaps"),
)
"""What the operator has to be allowed where it builds, besides reading."""

_ALL = "/api/v1/namespaces/{namespace}/configmaps"
_ONE = f"{_ALL}/{{name}}"
_QUERY = {"fieldManager": FIELD_MANAGER}


class LogMaps:
    """The store; see :class:`~configbuild.logstore.LogStore`."""

    name = STORE

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def begin(self, owner: LogOwner, earlier: StoredLog | None = None) -> LogMapCopy:
        """See :meth:`.LogStore.begin`."""
        return LogMapCopy(self._rest, owner, earlier.chunks if earlier is not None else ())

    async def read(
        self, owner: LogOwner, stored: StoredLog, after_id: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """See :meth:`.LogStore.read`; one chunk is held at a time."""
        joint = Joint(after_id)
        for chunk in stored.chunks:
            found = await self._find(owner, chunk)
            lines = await asyncio.to_thread(lines_of, found, chunk) if found else None
            if lines and (block := joint.join(lines)):
                yield block

    async def remove(self, owner: LogOwner, stored: StoredLog) -> None:
        """See :meth:`.LogStore.remove`."""
        for chunk in stored.chunks:
            await _delete(self._rest, owner, chunk.name, uid=chunk.uid)

    async def _find(self, owner: LogOwner, chunk: Chunk) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = await self._rest.get(_ONE, _where(owner, chunk.name))
        except NotFoundError:
            return None
        except FAILURES as error:
            raise _failed("reading", chunk.name, error) from error
        return found


class LogMapCopy:
    """A copy while it is made; see :class:`~configbuild.logstore.LogCopy`."""

    def __init__(self, rest: Rest, owner: LogOwner, earlier: Sequence[Chunk] = ()) -> None:
        self._rest = rest
        self._owner = owner
        self._earlier = list(earlier)
        self._log = ChunkedLog()
        self._chunks: dict[int, Chunk] = {}
        self._complete = False

    async def write(self, lines: bytes) -> None:
        """See :meth:`.LogCopy.write`; nothing is sent."""
        await asyncio.to_thread(self._log.add, lines)

    async def flush(self) -> StoredLog:
        """See :meth:`.LogCopy.flush`."""
        await self._send(final=False)
        return self.stored()

    async def seal(self) -> StoredLog:
        """See :meth:`.LogCopy.seal`."""
        await self._send(final=True)
        self._complete = True
        return self.stored()

    def stored(self, problem: str | None = None) -> StoredLog:
        """See :meth:`.LogCopy.stored`."""
        return StoredLog(
            store=STORE,
            complete=self._complete,
            truncated=self._log.truncated,
            problem=problem,
            chunks=tuple(chunk for _, chunk in sorted(self._chunks.items())),
        )

    async def _send(self, *, final: bool) -> None:
        # First of all: once status lists other chunks, nobody remembers these.
        while self._earlier:
            chunk = self._earlier[-1]
            await _delete(self._rest, self._owner, chunk.name, uid=chunk.uid)
            self._earlier.pop()
        for number in self._log.dropped():
            await _delete(self._rest, self._owner, self._name(number))
            self._chunks.pop(number, None)
            self._log.removed(number)
        for content in await asyncio.to_thread(lambda: list(self._log.changed(final=final))):
            self._log.sent(content)
            self._chunks[content.number] = await self._put(content)
            self._log.written(content)

    async def _put(self, content: ChunkContent) -> Chunk:
        known = self._chunks.get(content.number)
        name = self._name(content.number)
        try:
            if known is not None:
                uid = await self._update(known, content)
            else:
                uid = None
            if uid is None:
                uid = await self._create(name, content)
        except FAILURES as error:
            raise _failed("writing", name, error) from error
        return chunk_of(name, uid, content.data)

    async def _update(self, known: Chunk, content: ChunkContent) -> str | None:
        """Write over a chunk of ours; ``None`` if it is gone, or another has its name."""
        body = {"metadata": {"uid": known.uid}, **body_of(content.data, final=content.final)}
        try:
            await self._rest.merge_patch(_ONE, _where(self._owner, known.name), body, _QUERY)
        except (NotFoundError, ConflictError):
            return None
        return known.uid

    async def _create(self, name: str, content: ChunkContent) -> str:
        """Create a chunk; whatever has its name is an earlier attempt's, or nobody's."""
        body = {"metadata": self._metadata(name), **body_of(content.data, final=content.final)}
        where = {"namespace": self._owner.key.namespace}
        try:
            made = await self._rest.post(_ALL, where, body, _QUERY)
        except ConflictError:
            await _delete(self._rest, self._owner, name)
            made = await self._rest.post(_ALL, where, body, _QUERY)
        uid: str = made["metadata"]["uid"]
        return uid

    def _metadata(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "labels": {
                BUILD_LABEL: self._owner.build_id,
                "app.kubernetes.io/managed-by": FIELD_MANAGER,
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": self._owner.key.name,
                    "uid": self._owner.uid,
                }
            ],
        }

    def _name(self, number: int) -> str:
        return f"build-{self._owner.build_id.ulid}-{number:02}"


async def _delete(rest: Rest, owner: LogOwner, name: str, *, uid: str | None = None) -> None:
    """Delete a ConfigMap, if it is there (and, with ``uid``, still the same)."""
    body = {"preconditions": {"uid": uid}} if uid is not None else {}
    try:
        await rest.delete(_ONE, _where(owner, name), body)
    except (NotFoundError, ConflictError):
        return
    except FAILURES as error:
        raise _failed("removing", name, error) from error


def _where(owner: LogOwner, name: str) -> dict[str, str]:
    return {"namespace": owner.key.namespace, "name": name}


def _failed(act: str, name: str, error: BaseException) -> LogStoreError:
    lasting = isinstance(error, ForbiddenError) or (
        # Too large, invalid, or refused by an admission webhook: the same the next time.
        isinstance(error, ApiError) and error.status in (400, 413, 422)
    )
    detail = f": {error.body[:200]}" if isinstance(error, ForbiddenError) and error.body else ""
    return LogStoreError(
        f"{act} ConfigMap {name} failed: {words_of(error)}{detail}", lasting=lasting
    )
