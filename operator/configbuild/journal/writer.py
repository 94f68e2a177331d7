"""Writes journals: every event gets its id and time here, and is in the file before it is seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Self

from configbuild.errors import JournalError, NotFoundError
from configbuild.events import Body, BuildCompleted, Event, LogLineEncoder, encode_line
from configbuild.files import sync_directory
from configbuild.journal.limit import (
    DEFAULT_LIMIT_BYTES,
    is_shortened,
    replacement_path,
    write_shortened,
)
from configbuild.journal.progress import Progress
from configbuild.journal.recovery import recover
from configbuild.lines import Lines
from configbuild.model import BuildId


class JournalWriter:
    """Appends to one journal; the only writer that it has.

    May be used by several threads: ids, times and lines are in one order. Every method that writes
    raises :class:`JournalError` if it cannot; the journal then ends with the last whole event
    before, whose id is still :attr:`last_id`, and another attempt may be made.

    A journal that outgrows ``limit_bytes`` loses log lines of its middle and is :attr:`truncated`;
    see :mod:`configbuild.journal.limit`.
    """

    def __init__(
        self,
        fd: int,
        path: Path,
        build_id: BuildId,
        *,
        size: int,
        last: Event | None,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        self.path = path
        self.build_id = build_id
        self.last_id = last.id if last else 0
        self.completed = last is not None and isinstance(last.body, BuildCompleted)
        self.truncated = is_shortened(fd, size)
        self.progress = Progress(fd, size, ended=self.completed)
        self._limit_bytes = limit_bytes
        self._fd: int | None = fd
        self._last_time = last.time if last else datetime.min.replace(tzinfo=UTC)
        self._lock = Lock()

    @classmethod
    def create(
        cls, path: Path, build_id: BuildId, *, limit_bytes: int = DEFAULT_LIMIT_BYTES
    ) -> Self:
        """Begin the journal of a new build; takes some 20 ms, so that its name survives a crash."""
        try:
            fresh = not path.parent.exists()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed("create", path, error) from error
        writer = cls(fd, path, build_id, size=0, last=None, limit_bytes=limit_bytes)
        try:
            for directory in path.parents[: 2 if fresh else 1]:
                sync_directory(directory)
        except OSError as error:
            writer.close()
            raise _failed("create", path, error) from error
        return writer

    @classmethod
    def open_existing(cls, path: Path, build_id: BuildId) -> Self:
        """Take up the journal of a build whose operator died; a torn tail is cut off.

        Raises :class:`NotFoundError` if there is none.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"there is no journal of {build_id}") from None
        except OSError as error:
            raise _failed("open", path, error) from error
        try:
            replacement_path(path).unlink(missing_ok=True)
            size, last = recover(fd)
        except OSError as error:
            os.close(fd)
            raise _failed("recover", path, error) from error
        return cls(fd, path, build_id, size=size, last=last)

    def append(self, body: Body) -> Event:
        """Write one event and give it, envelope and all. ``build.completed`` can only be last."""
        with self._lock:
            time = self._now()
            event = Event(id=self.last_id + 1, build_id=self.build_id, time=time, body=body)
            self._write(encode_line(event), 1, completes=isinstance(body, BuildCompleted))
            return event

    def append_lines(self, encoder: LogLineEncoder, found: Sequence[Lines]) -> None:
        """Write lines of output, all with the same time, in one write."""
        if not found:
            return
        with self._lock:
            time = self._now()
            next_id = self.last_id + 1
            encoded = []
            for texts, continued in found:
                encoded.append(
                    encoder.encode(texts, first_id=next_id, time=time, continued=continued)
                )
                next_id += len(texts)
            self._write(b"".join(encoded), next_id - 1 - self.last_id)

    def sync(self) -> None:
        """Wait until what was written is on the disk (some 10 ms): not for the event loop."""
        try:
            os.fdatasync(self._open_fd())
        except OSError as error:
            raise _failed("sync", self.path, error) from error

    def close(self) -> None:
        """Write no more; followers come to their end. May be called again."""
        with self._lock:
            fd, self._fd = self._fd, None
            if fd is not None:
                self.progress.end()
                os.close(fd)

    @property
    def size(self) -> int:
        """How many bytes are written."""
        return self.progress.size

    @property
    def closed(self) -> bool:
        """Whether it writes no more."""
        return self._fd is None

    def _now(self) -> datetime:
        """Tell the time; never one before an earlier event's, whatever is done to the clock."""
        self._last_time = max(self._last_time, datetime.now(UTC))
        return self._last_time

    def _write(self, data: bytes, events: int, *, completes: bool = False) -> None:
        fd = self._open_fd()
        if self.completed:
            raise JournalError(f"journal {self.path} ends with build.completed: nothing may follow")
        size = self.progress.size
        try:
            _write_whole(fd, data, size)
        except OSError as error:
            with suppress(OSError):  # if not, the next write or recovery covers the torn line
                os.ftruncate(fd, size)
            raise _failed("write", self.path, error) from error
        self.last_id += events
        self.completed = completes
        self.progress.advance(size + len(data), ended=completes)
        if self.size > self._limit_bytes and not completes:
            self._shorten(fd)

    def _shorten(self, fd: int) -> None:
        """Go on in a new file without the middle; who reads the old one reads it to its end."""
        try:
            fresh = write_shortened(fd, self.path, end=self.size, limit_bytes=self._limit_bytes)
        except OSError as error:
            raise _failed("shorten", self.path, error) from error
        self._fd, self.truncated = fresh, True
        self.progress.replace(fresh, os.fstat(fresh).st_size)
        os.close(fd)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise JournalError(f"journal {self.path} is closed: nothing may follow")
        return self._fd


def _write_whole(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    while written < len(data):  # a full disk takes a part, and the next write says why
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)


def _failed(act: str, path: Path, error: OSError) -> JournalError:
    return JournalError(f"cannot {act} journal {path}: {error.strerror}")
