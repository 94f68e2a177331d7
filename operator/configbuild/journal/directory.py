"""All journals of an operator: a directory with one file a build, and which of them are live."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from configbuild.errors import JournalError, NotFoundError
from configbuild.events import Event
from configbuild.journal.audience import Take
from configbuild.journal.follow import follow_journal
from configbuild.journal.limit import DEFAULT_LIMIT_BYTES, replacement_path
from configbuild.journal.progress import Progress
from configbuild.journal.reader import JournalSummary, read_events, summarize
from configbuild.journal.writer import JournalWriter
from configbuild.model import BuildId

_SUFFIX = ".ndjson"


class Journals:
    """The journals in a directory.

    Its methods may be called in threads, since most touch the disk; followers belong to one event
    loop. A journal is kept within ``limit_bytes``; see :mod:`configbuild.journal.limit`.
    """

    def __init__(self, directory: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.directory = directory
        self._limit_bytes = limit_bytes
        self._writers: dict[BuildId, JournalWriter] = {}
        self._begun: set[BuildId] = set()

    def path(self, build_id: BuildId) -> Path:
        """Name the file of a build's journal, whether or not it is there."""
        return self.directory / f"{build_id.ulid}{_SUFFIX}"

    def create(self, build_id: BuildId) -> JournalWriter:
        """Begin a journal; it is live until its writer is closed."""
        # Before there is a file, so that nobody who finds one takes it for a journal that is left.
        self._begun.add(build_id)
        try:
            return self._live(
                JournalWriter.create(self.path(build_id), build_id, limit_bytes=self._limit_bytes)
            )
        finally:
            self._begun.discard(build_id)

    def reopen(self, build_id: BuildId) -> JournalWriter:
        """Take up a journal whose operator died; see :meth:`JournalWriter.open_existing`."""
        if self.writer(build_id):
            raise JournalError(f"the journal of {build_id} is being written already")
        return self._live(JournalWriter.open_existing(self.path(build_id), build_id))

    def writer(self, build_id: BuildId) -> JournalWriter | None:
        """Give the writer of a live journal."""
        writer = self._writers.get(build_id)
        return None if writer is None or writer.closed else writer

    def is_live(self, build_id: BuildId) -> bool:
        """Tell whether a journal is being written, or begun in this very moment."""
        return build_id in self._begun or self.writer(build_id) is not None

    def exists(self, build_id: BuildId) -> bool:
        """Tell whether there is a journal."""
        return self.path(build_id).exists()

    def ids(self) -> list[BuildId]:
        """List the builds that have a journal, oldest first; other files are passed over."""
        return sorted(
            found for path in self.directory.glob(f"*{_SUFFIX}") if (found := _id_of(path))
        )

    def remove(self, build_id: BuildId) -> None:
        """Remove a journal, if there is one. Who reads it already can read it to the end."""
        if writer := self._writers.pop(build_id, None):
            writer.close()
        self.path(build_id).unlink(missing_ok=True)
        replacement_path(self.path(build_id)).unlink(missing_ok=True)

    def events(
        self, build_id: BuildId, after_id: int = 0, limit: int | None = None
    ) -> Iterator[Event]:
        """Read the events with ids above ``after_id``, at most ``limit`` of them.

        Raises :class:`NotFoundError` where there is no journal.
        """
        return read_events(self.path(build_id), after_id, limit, progress=self._progress(build_id))

    def summary(self, build_id: BuildId) -> JournalSummary | None:
        """Read how a build stands, not the whole journal; ``None`` if nothing is told of it."""
        try:
            return summarize(self.path(build_id), progress=self._progress(build_id))
        except NotFoundError:
            return None

    def follow(
        self,
        build_id: BuildId,
        after_id: int = 0,
        *,
        follow: bool,
        idle_s: float | None = None,
        take: Take | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines with ids above ``after_id``, in blocks of about 128 KiB of whole lines.

        First what there is; with ``follow`` then what comes, without gap or double, until
        ``build.completed`` or until the journal has no writer any more. A cursor past the end of
        a finished journal gets its ``build.completed``, so that every reader sees an end. After
        ``idle_s`` seconds of silence, and each time again, an empty block comes.

        With ``take``, what comes once the reader has all there is need not be yielded: it is
        handed to ``take`` instead, the same block to all such readers, while they wait for the next
        one here. What ``take`` refuses is yielded, as are the last lines of the build.

        However slow a reader is, it holds an offset and one block. Cancelling or closing it leaves
        nothing behind. :class:`NotFoundError` is raised at once, not at the first block.
        """
        if not self.exists(build_id):
            raise NotFoundError(f"there is no journal of {build_id}")
        return follow_journal(
            self.path(build_id),
            self._progress(build_id),
            after_id=after_id,
            wait=follow,
            idle_s=idle_s,
            take=take,
        )

    def _live(self, writer: JournalWriter) -> JournalWriter:
        for build_id in list(self._writers):
            if not self.writer(build_id):
                self._writers.pop(build_id, None)
        self._writers[writer.build_id] = writer
        return writer

    def _progress(self, build_id: BuildId) -> Progress | None:
        writer = self.writer(build_id)
        return writer.progress if writer else None


def _id_of(path: Path) -> BuildId | None:
    try:
        return BuildId.from_ulid(path.stem)
    except ValueError:
        return None
