"""A build's events from the ConfigMaps that hold its log, with nothing but the right to read those.

What status lists is read, and nothing else; see :mod:`configbuild.logstore.config_maps`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from configbuild.cli.documents import InputError
from configbuild.cli.objects import find_config_map, get_configbuild, owner_of_build
from configbuild.events import BuildCompleted, decode_line
from configbuild.gaps import line_before
from configbuild.logstore import StoredLog
from configbuild.logstore.config_maps import STORE, lines_of, recall_log
from configbuild.logstore.joining import Joint
from configbuild.model import BuildStatus

# The operator brings a copy up to date every 2 s while there is output.
_LOOK_S = 1.0


class StoredLogFollower:
    """Reads the events of one build, on to its end if that is wanted.

    ``completed`` is the build's end once that came. ``notify`` is told in words what is missing.
    """

    def __init__(self, namespace: str, *, notify: Callable[[str], None], after_id: int = 0) -> None:
        self.completed: BuildCompleted | None = None
        self._namespace = namespace
        self._notify = notify
        self._joint = Joint(after_id)
        self._seen: set[str] = set()

    def follow(self, target: str, *, follow: bool) -> Iterator[bytes]:
        """Yield blocks of whole lines of a ConfigBuild's newest build, or of the build of an id.

        :class:`InputError` if there is no such build, or its log is not in ConfigMaps.
        """
        name, build_id = self._named(target)
        while True:
            status = get_configbuild(name, namespace=self._namespace).get("status") or {}
            build_id = build_id or (status.get("build") or {}).get("id")
            if build_id is None:
                if not follow:
                    raise InputError(f"{name} has no build yet")
            else:
                row, stored = _told_of(status, name, build_id)
                yield from self._blocks(stored)
                if self._is_over(row, stored) or not follow:
                    return
            time.sleep(_LOOK_S)

    def _named(self, target: str) -> tuple[str, str | None]:
        if not target.startswith("build_"):  # no ConfigBuild's name has an underscore
            return target, None
        owner = owner_of_build(target, namespace=self._namespace)
        if owner is None:
            raise InputError(f"no ConfigMap in {self._namespace} holds a log of {target}")
        return owner, target

    def _blocks(self, stored: StoredLog | None) -> Iterator[bytes]:
        for chunk in stored.chunks if stored is not None else ():
            if chunk.sha256 in self._seen:
                continue
            found = find_config_map(chunk.name, namespace=self._namespace)
            lines = lines_of(found, chunk) if found is not None else None
            if lines is None:
                # Written anew meanwhile, which status will tell; or it is not the operator's.
                continue
            self._seen.add(chunk.sha256)
            if block := self._joint.join(lines):
                self._note_end(block)
                yield block

    def _note_end(self, block: bytes) -> None:
        body = decode_line(line_before(block, len(block))).body
        if isinstance(body, BuildCompleted):
            self.completed = body

    def _is_over(self, row: Mapping[str, Any], stored: StoredLog | None) -> bool:
        if self.completed is not None:
            return True
        if not BuildStatus(row["status"]).ended:
            return False
        problem = stored.problem if stored is not None else "it was not copied"
        if problem is None:
            return False  # the rest of it is still being copied
        self._notify(f"the log of {row['id']} is incomplete: {problem}")
        self.completed = _completed(row)
        return True


def _told_of(
    status: Mapping[str, Any], name: str, build_id: str
) -> tuple[Mapping[str, Any], StoredLog | None]:
    """Find what a status tells of a build and of its log's copy."""
    newest = status.get("build") or {}
    if newest.get("id") == build_id:
        row, stored = newest, recall_log(status.get("log"))
    else:
        rows = [row for row in status.get("history") or () if row["id"] == build_id]
        if not rows:
            raise InputError(f"{name} tells nothing of {build_id} any more")
        row, stored = rows[0], recall_log(rows[0].get("log"))
    if stored is not None and stored.store != STORE:
        raise InputError(
            f"the log of {build_id} is in the store {stored.store}: read it from the operator, with"
            " --server"
        )
    return row, stored


def _completed(row: Mapping[str, Any]) -> BuildCompleted:
    failure = row.get("failure") or {}
    return BuildCompleted(
        status=BuildStatus(row["status"]),
        exit_code=row.get("exitCode"),
        summary=row.get("summary"),
        error_message=failure.get("message"),
        reason=failure.get("reason") or row.get("reason"),
        hint=failure.get("hint"),
    )
