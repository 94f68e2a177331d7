"""A build's events as NDJSON, live or again.

What is in the journal is passed on as it is, byte for byte, in large blocks. Only where a journal
is gone, or could not be ended, are events made from the build's record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from configbuild.builds.records import BuildRecord
from configbuild.errors import NotFoundError
from configbuild.events import (
    BuildCompleted,
    BuildCreated,
    Event,
    completes,
    decode_line,
    encode_line,
    line_id,
)
from configbuild.model import BuildStatus
from configbuild.outcome import REUSED
from configbuild.web.access import Permit
from configbuild.web.backend import Backend
from configbuild.web.direct import Direct, direct_of

MEDIA_TYPE = "application/x-ndjson"

# An empty line: readers of NDJSON skip it, proxies see that the connection lives.
_HEARTBEAT = b"\n"

# X-Accel-Buffering is nginx's word; others go by Cache-Control.
_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

# Within a string its quotes would be escaped, so this is the type of an event and nothing else. The
# fields before it are short.


class Outlet:
    """Takes blocks of a response straight to its client, once it has begun and where that goes."""

    def __init__(self) -> None:
        self._direct: Direct | None = None
        self.last_block = b""

    def open(self, scope: Scope) -> None:
        """Take blocks from now on: the head of the response to this request is sent."""
        self._direct = direct_of(scope)

    def take(self, block: bytes) -> bool:
        """Take a block or not; see :data:`configbuild.journal.audience.Take`."""
        if self._direct is None or not self._direct.write(block):
            return False
        self.last_block = block
        return True


class EventStream(StreamingResponse):
    """Sends blocks of lines as they come, as fast as the client takes them.

    What ``outlet`` takes is sent as well: whoever makes the blocks gives it some of them, while the
    next is waited for.

    It ends with its blocks, when the client leaves, when the server stops, or when the client is no
    longer one who may read it: then properly, so that the client knows to resume, and is told why
    if it may not. An error of the blocks cuts the connection.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        blocks: AsyncGenerator[bytes, None],
        *,
        outlet: Outlet,
        stopping: asyncio.Event,
        permit: Permit,
    ) -> None:
        super().__init__(blocks, headers=_HEADERS)
        self._blocks = blocks
        self._outlet = outlet
        self._stopping = stopping
        self._permit = permit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; cancellation closes the blocks."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        self._outlet.open(scope)
        sending = asyncio.create_task(self._send_blocks(send))
        ends = {
            sending,
            asyncio.create_task(self.listen_for_disconnect(receive)),
            asyncio.create_task(self._stopping.wait()),
            asyncio.create_task(self._permit.lost()),
        }
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if not sending.cancelled():
            sending.result()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_blocks(self, send: Send) -> None:
        async with aclosing(self._blocks):
            async for block in self._blocks:
                await send({"type": "http.response.body", "body": block, "more_body": True})


async def stream_events(
    backend: Backend, record: BuildRecord, *, permit: Permit, after_id: int = 0, follow: bool
) -> EventStream:
    """Stream the events above ``after_id``; with ``follow`` on to the build's end.

    :class:`~configbuild.logstore.LogStoreError` if only a store has them, and does not answer.
    """
    outlet = Outlet()
    blocks = await _events(backend, record, outlet, after_id=after_id, follow=follow)
    return EventStream(blocks, outlet=outlet, stopping=backend.stopping, permit=permit)


async def stream_reused(backend: Backend, record: BuildRecord, *, permit: Permit) -> EventStream:
    """Stream a build again that is reused: its events, of which the last says so."""
    record = replace(record, summary=REUSED)
    outlet = Outlet()
    blocks = _reworded(await _events(backend, record, outlet, after_id=0, follow=False))
    return EventStream(blocks, outlet=outlet, stopping=backend.stopping, permit=permit)


async def _events(
    backend: Backend, record: BuildRecord, outlet: Outlet, *, after_id: int, follow: bool
) -> AsyncGenerator[bytes, None]:
    try:
        blocks = backend.journals.follow(
            record.id, after_id, follow=follow, idle_s=backend.heartbeat_s, take=outlet.take
        )
    except NotFoundError:
        copy = backend.copy(record, after_id)
        if copy is None:
            return _from_record(record, after_id)
        # The first block is had before anything is answered, so that an error can still be one.
        first = await anext(copy, b"")
        return _from_copy(backend, record, first, copy, after_id=after_id, follow=follow)
    return _from_journal(backend, record, blocks, outlet, after_id=after_id, follow=follow)


async def _from_copy(
    backend: Backend,
    record: BuildRecord,
    first: bytes,
    rest: AsyncGenerator[bytes, None],
    *,
    after_id: int,
    follow: bool,
) -> AsyncGenerator[bytes, None]:
    """Tell what the log store has, and the end where that is missing."""
    if not first and after_id < 1:
        async for line in _from_record(record, after_id):
            yield line
        return
    ended = False
    async with aclosing(rest):
        block = first
        while block:
            last = _last_line(block)
            after_id, ended = line_id(last), completes(last)
            yield block
            block = await anext(rest, b"")
    if not ended:
        async for line in _missing_end(backend, record, after_id=after_id, follow=follow):
            yield line


async def _from_journal(
    backend: Backend,
    record: BuildRecord,
    blocks: AsyncGenerator[bytes, None],
    outlet: Outlet,
    *,
    after_id: int,
    follow: bool,
) -> AsyncGenerator[bytes, None]:
    ended = False
    async with aclosing(blocks):
        async for block in blocks:
            last = _last_line(block)
            if last:
                after_id, ended = line_id(last), completes(last)
            if ended:
                # The line is in the journal a moment before it is safe on the disk and before the
                # config points to the build: who read it may rely on both.
                await backend.service.wait(record.id)
            yield block or _HEARTBEAT
    if not ended:
        if outlet.last_block:
            after_id = max(after_id, line_id(_last_line(outlet.last_block)))
        async for line in _missing_end(backend, record, after_id=after_id, follow=follow):
            yield line


async def _missing_end(
    backend: Backend, record: BuildRecord, *, after_id: int, follow: bool
) -> AsyncIterator[bytes]:
    """Make the end that a journal lacks, as where the disk was full; none for a live build."""
    if follow:
        await backend.service.wait(record.id)
        record = await backend.service.find(record.id) or record
    if record.status.ended:
        yield encode_line(_completed(record, event_id=after_id + 1))


async def _from_record(record: BuildRecord, after_id: int) -> AsyncGenerator[bytes, None]:
    """Tell of a build whose journal is gone."""
    if after_id < 1:
        yield encode_line(_created(record))
    if record.status.ended:
        yield encode_line(_completed(record, event_id=max(after_id, 1) + 1))


async def _reworded(blocks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(blocks):
        async for block in blocks:
            last = _last_line(block)
            yield block.removesuffix(last) + _reused(last) if completes(last) else block


def _reused(line: bytes) -> bytes:
    event = decode_line(line)
    assert isinstance(event.body, BuildCompleted)
    return encode_line(replace(event, body=replace(event.body, summary=REUSED)))


def _last_line(block: bytes) -> bytes:
    return block[block.rfind(b"\n", 0, -1) + 1 :]


def _created(record: BuildRecord) -> Event:
    return Event(
        id=1,
        build_id=record.id,
        time=record.queued_at,
        body=BuildCreated(
            status=BuildStatus.QUEUED,
            config_id=record.key.name,
            workspace_id=record.key.namespace,
            trigger=record.trigger,
        ),
    )


def _completed(record: BuildRecord, *, event_id: int) -> Event:
    return Event(
        id=event_id,
        build_id=record.id,
        time=record.finished_at or record.queued_at,
        body=BuildCompleted(
            status=record.status,
            exit_code=record.exit_code,
            summary=record.summary,
            error_message=record.message,
            reason=record.reason,
            hint=record.hint,
        ),
    )
