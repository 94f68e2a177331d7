"""Logs in a Valkey server: for more of them, and more readers, than an API server should bear.

A log is one stream. Its entries are compressed lines; an entry's id is that of its first event, so
that a cursor is found by one request. What is left out of a log that is too long is told beside the
stream, under a key of its own, since nothing can be put into the middle of a stream.

A server that was away may have forgotten: nothing, the last second, or all of it. So each time that
a copy is brought up to date it is compared with what the server has, and made anew where that is
not what was sent. A command whose answer was lost is thereby done once, whether it was done or not.

Whoever has the password can change a log; TLS and the password are what guards it.

Source: the commands XADD, XDEL, XINFO STREAM, XRANGE, XREVRANGE, MULTI and EXPIRE of Valkey 7.2 and
later, and of Redis from 5.0 on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valkey.asyncio import BlockingConnectionPool, SSLConnection, Valkey
from valkey.asyncio.connection import Connection
from valkey.credentials import CredentialProvider
from valkey.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ResponseError,
    ValkeyError,
)

from configbuild.logstore import LogOwner, LogStoreError, StoredLog
from configbuild.logstore.entries import EntryLog, LogEntry, Part, read_part
from configbuild.logstore.joining import Joint
from configbuild.model import BuildId
from configbuild.settings import Settings
from configbuild.valkey_address import ValkeyAddress

STORE = "valkey"

FIELD = "events.ndjson.gz"
"""Where an entry's data is: one gzip member of NDJSON lines."""

# Each command takes milliseconds; a server that does not answer in this time is away.
_TIMEOUT_S = 10.0

# Readers wait for one another rather than for the server, which has one thread.
_CONNECTIONS = 16

# So much is sent in one transaction. The server holds it twice meanwhile, and where it is short of
# memory it evicts other logs for that.
_BATCH_BYTES = 256 * 1024

# Entries that are read at once: about 1 MiB of lines.
_PAGE = 16

_FAILURES = (ValkeyError, OSError, TimeoutError)


def make_valkey_store(settings: Settings) -> ValkeyLogs:
    """Make the store that the settings tell of; ``ValueError`` if they name no server.

    Nothing is connected yet. :meth:`ValkeyLogs.close` ends it.
    """
    if settings.valkey_url is None:
        raise ValueError("ADE_LOG_STORE=valkey wants ADE_VALKEY_URL")
    return ValkeyLogs(
        ValkeyAddress.parse(settings.valkey_url),
        password_file=settings.valkey_password_file,
        ca_file=settings.valkey_ca_file,
        limit_bytes=settings.valkey_log_limit_bytes,
        keep_s=round(settings.valkey_keep_days * 86400),
    )


class ValkeyLogs:
    """The store; see :class:`~configbuild.logstore.LogStore`."""

    name = STORE

    def __init__(
        self,
        address: ValkeyAddress,
        *,
        password_file: Path | None = None,
        ca_file: Path | None = None,
        limit_bytes: int,
        keep_s: int,
    ) -> None:
        self._server = _Server(address, password_file=password_file, ca_file=ca_file)
        self._limit_bytes = limit_bytes
        self._keep_s = keep_s

    async def close(self) -> None:
        """Close all connections."""
        await self._server.close()

    def begin(self, owner: LogOwner, earlier: StoredLog | None = None) -> ValkeyCopy:  # noqa: ARG002
        """See :meth:`.LogStore.begin`."""
        keys = _Keys.of(owner.build_id)
        log = EntryLog(limit_bytes=self._limit_bytes)
        return ValkeyCopy(self._server, keys, log, keep_s=self._keep_s)

    async def read(
        self,
        owner: LogOwner,
        stored: StoredLog,  # noqa: ARG002 - all that is needed is the build's id
        after_id: int = 0,
    ) -> AsyncGenerator[bytes, None]:
        """See :meth:`.LogStore.read`; some 1 MiB of lines is held at a time."""
        keys = _Keys.of(owner.build_id)
        joint = Joint(after_id)
        begin = await self._begin_of(keys, after_id)
        reached = begin - 1 if begin else 0
        while page := await self._page(keys, begin):
            parts = await asyncio.to_thread(_parts, page, owner.build_id)
            blocks = []
            for part in parts:
                if part.begins > reached + 1 and (middle := await self._middle(owner.build_id)):
                    blocks.append(joint.join(middle.between(reached, part.begins)))
                blocks.append(joint.join(part.lines))
                reached = part.ends
            if block := b"".join(blocks):
                yield block
            begin = page[-1].id + 1

    async def remove(self, owner: LogOwner, stored: StoredLog) -> None:  # noqa: ARG002
        """See :meth:`.LogStore.remove`."""
        keys = _Keys.of(owner.build_id)
        async with self._server.asked("removing", keys) as client:
            await client.unlink(keys.stream, keys.middle)

    async def _begin_of(self, keys: _Keys, after_id: int) -> int:
        """Find the entry in which the next id is; 0 if only later ones are there."""
        async with self._server.asked("reading", keys) as client:
            found = await client.xrevrange(keys.stream, max=f"{after_id + 1}-0", count=1)
        return _id_of(found[0][0]) if found else 0

    async def _page(self, keys: _Keys, begin: int) -> list[LogEntry]:
        async with self._server.asked("reading", keys) as client:
            found = await client.xrange(keys.stream, min=f"{begin}-0", count=_PAGE)
        return [
            LogEntry(id=_id_of(entry_id), data=(fields or {}).get(FIELD.encode(), b""))
            for entry_id, fields in found
        ]

    async def _middle(self, build_id: BuildId) -> Part | None:
        keys = _Keys.of(build_id)
        async with self._server.asked("reading", keys) as client:
            data = await client.get(keys.middle)
        return read_part(data, build_id) if data else None


class ValkeyCopy:
    """A copy while it is made; see :class:`~configbuild.logstore.LogCopy`.

    Holds what it has sent until it is sealed, as compressed as the server does, since a server may
    lose it.
    """

    def __init__(self, server: _Server, keys: _Keys, log: EntryLog, *, keep_s: int) -> None:
        self._server = server
        self._keys = keys
        self._log = log
        self._keep_s = keep_s
        self._begun = False
        # Entries that were sent: all up to the confirmed id are there, later ones may be.
        self._sent: set[int] = set()
        self._confirmed_id = 0
        self._middle_sent = b""
        self._complete = False

    async def write(self, lines: bytes) -> None:
        """See :meth:`.LogCopy.write`; nothing is sent."""
        await asyncio.to_thread(self._log.add, lines)

    async def flush(self) -> StoredLog:
        """See :meth:`.LogCopy.flush`."""
        if not self._complete:
            await self._send()
        return self.stored()

    async def seal(self) -> StoredLog:
        """See :meth:`.LogCopy.seal`."""
        if not self._complete:
            await self._send()
            if self._log.entries() and not await self._compare():
                raise LogStoreError(f"{self._server} lost a part of {self._keys.stream}")
            self._complete = True
        return self.stored()

    def stored(self, problem: str | None = None) -> StoredLog:
        """See :meth:`.LogCopy.stored`."""
        return StoredLog(
            store=STORE,
            complete=self._complete,
            truncated=self._log.truncated,
            problem=problem,
        )

    async def _send(self) -> None:
        await asyncio.to_thread(self._log.cut)
        if not (self._begun and await self._compare()):
            await self._begin()
        missing = [entry for entry in self._log.entries() if entry.id not in self._sent]
        for batch in _batches(missing):
            await self._append(batch)

    async def _begin(self) -> None:
        """Remove whatever is there, and send the first entries in its place."""
        self._begun, self._confirmed_id = False, 0
        self._sent.clear()
        first = next(_batches(self._log.entries()), [])
        middle = self._log.middle()
        async with self._server.asked("writing", self._keys) as client, client.pipeline() as act:
            act.unlink(self._keys.stream, self._keys.middle)
            if middle:
                act.set(self._keys.middle, middle, ex=self._keep_s)
            self._add(act, first)
            await act.execute()
        self._middle_sent = middle
        self._begun = bool(first)
        self._confirm(first)

    async def _compare(self) -> bool:
        """Remove what was left out since, and tell whether the server has all that was sent.

        Otherwise the copy begins anew.
        """
        kept = self._sent.intersection(entry.id for entry in self._log.entries())
        gone = sorted(self._sent - kept)
        middle = self._log.middle()
        async with self._server.asked("writing", self._keys) as client, client.pipeline() as act:
            if middle != self._middle_sent:
                act.set(self._keys.middle, middle, ex=self._keep_s)
            if gone:
                act.xdel(self._keys.stream, *(f"{number}-0" for number in gone))
            act.xinfo_stream(self._keys.stream)
            *_, stream = await act.execute(raise_on_error=False)
        self._middle_sent = middle
        if isinstance(stream, ResponseError):  # there is none
            return False
        last_id = _id_of(stream["last-generated-id"])
        self._sent = {number for number in kept if number <= last_id}
        return last_id >= self._confirmed_id and stream["length"] == len(self._sent)

    async def _append(self, batch: Sequence[LogEntry]) -> None:
        # Should the answer get lost, the next comparison shows whether they are there.
        self._sent.update(entry.id for entry in batch)
        async with self._server.asked("writing", self._keys) as client, client.pipeline() as act:
            self._add(act, batch)
            act.expire(self._keys.middle, self._keep_s)
            await act.execute()
        self._confirm(batch)

    def _add(self, act: Any, batch: Sequence[LogEntry]) -> None:
        for entry in batch:
            act.xadd(self._keys.stream, {FIELD: entry.data}, id=f"{entry.id}-0")
        act.expire(self._keys.stream, self._keep_s)

    def _confirm(self, batch: Sequence[LogEntry]) -> None:
        self._sent.update(entry.id for entry in batch)
        self._confirmed_id = max((entry.id for entry in batch), default=self._confirmed_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """Under which names a log is."""

    stream: str
    middle: str

    @classmethod
    def of(cls, build_id: BuildId) -> _Keys:
        stream = f"configbuild:log:{build_id}"
        return cls(stream=stream, middle=f"{stream}:middle")


class _Password(CredentialProvider):
    """Reads the password for each connection, so that one that was rotated is taken up."""

    def __init__(self, user: str | None, file: Path) -> None:
        self._user = user
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._file.read_text().rstrip("\n")
        except (OSError, ValueError) as error:
            raise AuthenticationError(f"{self._file} cannot be read: {error}") from error
        return (self._user, password) if self._user else (password,)


class _TlsConnection(SSLConnection):
    """Trusts whom it is told to and nobody else, and checks the name."""

    def __init__(self, *, trusted: Callable[[], ssl.SSLContext], **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = trusted()


class _Server:
    """A Valkey server, to which connections are made as they are needed, and made again."""

    def __init__(
        self, address: ValkeyAddress, *, password_file: Path | None, ca_file: Path | None
    ) -> None:
        self._address = address
        options: dict[str, Any] = {}
        if password_file is not None:
            options["credential_provider"] = _Password(address.user, password_file)
        if address.tls:
            # Read for each connection, as the password is.
            options["trusted"] = lambda: ssl.create_default_context(cafile=ca_file)
        self._client = Valkey.from_pool(
            BlockingConnectionPool(
                max_connections=_CONNECTIONS,
                timeout=round(_TIMEOUT_S),
                connection_class=_TlsConnection if address.tls else Connection,
                host=address.host,
                port=address.port,
                db=address.database,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                client_name="configbuild-operator",
                **options,
            )
        )

    def __str__(self) -> str:
        return f"Valkey at {self._address}"

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def asked(self, act: str, keys: _Keys) -> AsyncGenerator[Any, None]:
        """Give the client; what goes wrong with it is a :class:`LogStoreError`."""
        try:
            yield self._client
        except _FAILURES as error:
            raise LogStoreError(
                f"{act} {keys.stream} failed: {self}: {_words_of(error)}",
                # Memory comes back: logs expire, and a server that evicts does so a moment later.
                lasting=isinstance(error, NoPermissionError),
            ) from None


def _words_of(error: BaseException) -> str:
    """Say what a server meant; the library's own words may hold a whole command, log and all."""
    match error:
        case AuthenticationError() if error.__cause__ is not None:
            return str(error)
        case AuthenticationError():
            return "it takes another password than that in ADE_VALKEY_PASSWORD_FILE"
        case OutOfMemoryError():
            return "it has no memory left (maxmemory)"
        case NoPermissionError():
            return "its ACL does not allow that; docs/logstores.md says what is needed"
        case ResponseError():
            return f"it says no ({type(error).__name__})"
        case _:
            return f"{type(error).__name__} {error}".strip()


def _batches(entries: Sequence[LogEntry]) -> Iterator[list[LogEntry]]:
    batch: list[LogEntry] = []
    size = 0
    for entry in entries:
        if batch and size + len(entry.data) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += len(entry.data)
    if batch:
        yield batch


def _parts(page: Sequence[LogEntry], build_id: BuildId) -> list[Part]:
    """Read what is what it says; the rest counts as not there."""
    parts = (read_part(entry.data, build_id, entry_id=entry.id) for entry in page)
    return [part for part in parts if part is not None]


def _id_of(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])
