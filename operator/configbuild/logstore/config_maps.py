"""How a chunk of a log lies in a ConfigMap, and which one is real. Pure.

The operator writes them; whoever may read ConfigMaps can read a log with no operator at all.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

from configbuild.logstore.stored import Chunk, StoredLog

STORE = "configmap"
"""What status calls this store."""

DATA_KEY = "events.ndjson.gz"
"""Where a chunk's data is: one gzip member of NDJSON lines."""

_GZIP = 16 + zlib.MAX_WBITS

# What has the right hash was made by the operator, and none of its chunks has more.
_MAX_LINES_BYTES = 8 * 1024 * 1024


def body_of(data: bytes, *, final: bool) -> dict[str, Any]:
    """Write what a ConfigMap holds of a chunk; a final one can be changed by nobody."""
    held = {"binaryData": {DATA_KEY: base64.b64encode(data).decode()}}
    return {**held, "immutable": True} if final else held


def chunk_of(name: str, uid: str, data: bytes) -> Chunk:
    """Name a chunk that was written."""
    return Chunk(name=name, uid=uid, sha256=hashlib.sha256(data).hexdigest())


def lines_of(found: Mapping[str, Any], chunk: Chunk) -> bytes | None:
    """Read the lines of a chunk from the ConfigMap that has its name; ``None`` if it is another."""
    if found["metadata"]["uid"] != chunk.uid:
        return None
    try:
        data = base64.b64decode((found.get("binaryData") or {}).get(DATA_KEY, ""), validate=True)
    except ValueError:
        return None
    if hashlib.sha256(data).hexdigest() != chunk.sha256:
        return None
    lines = zlib.decompressobj(_GZIP).decompress(data, _MAX_LINES_BYTES)
    return lines[: lines.rfind(b"\n") + 1]


def recall_log(log: Mapping[str, Any] | None) -> StoredLog | None:
    """Read what a status tells of a log's copy; ``None``: there is none."""
    if not log or not log.get("store"):
        return None
    return StoredLog(
        store=log["store"],
        complete=log.get("complete") is True,
        truncated=log.get("truncated") is True,
        problem=log.get("problem"),
        chunks=tuple(
            Chunk(name=row["name"], uid=row["uid"], sha256=row["sha256"])
            for row in log.get("configMaps") or ()
        ),
    )
