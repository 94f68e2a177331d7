"""What a log store is: small, so that there can be many."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from configbuild.errors import ConfigBuildError
from configbuild.logstore.stored import LogOwner, StoredLog


class LogStoreError(ConfigBuildError):
    """A store did not take something, or has not got it.

    ``lasting``: it will not take it later either (a quota, a missing right).
    """

    reason = "LogStoreFailed"

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class LogCopy(Protocol):
    """The copy of one log while it is made; used by one task.

    An error of :meth:`flush` or :meth:`seal` loses nothing: what was taken is still held, and the
    next call tries again. What is held is bounded by the store's limit for a log. Cancellation
    leaves the copy as it was, or with what was being sent.
    """

    async def write(self, lines: bytes) -> None:
        """Take whole lines, which follow on those before. May hold them back."""

    async def flush(self) -> StoredLog:
        """Have all that was taken be in the store; :class:`LogStoreError` if that fails."""

    async def seal(self) -> StoredLog:
        """Flush, and have nothing of it change any more; errors as of :meth:`flush`."""

    def stored(self, problem: str | None = None) -> StoredLog:
        """Tell what is in the store by now, and what keeps the rest from it."""


class LogStore(Protocol):
    """Where copies of logs are; ``name`` is what :attr:`.StoredLog.store` calls it."""

    name: str

    def begin(self, owner: LogOwner, earlier: StoredLog | None = None) -> LogCopy:
        """Begin the copy of a log, in the place of an earlier one of the same build.

        ``earlier`` is what is remembered of that, if anything is.
        """

    def read(
        self, owner: LogOwner, stored: StoredLog, after_id: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines with ids above ``after_id``, in blocks of whole lines.

        Ids that are not there are told by a ``build.gap``. What is not as ``stored`` says (forged,
        cut, missing) counts as not there. :class:`LogStoreError` if the store does not answer.
        """

    async def remove(self, owner: LogOwner, stored: StoredLog) -> None:
        """Remove a copy, if there is one; :class:`LogStoreError` if that fails."""
