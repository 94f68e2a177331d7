"""Following a journal while it is written: what there is, then what comes, without gap or double.

A follower holds an offset and nothing else. It reads the file whenever :class:`.Progress` says that
there is more; so however slow or many followers are, the writer never waits and nothing piles up.
One that has caught up may be handed what comes instead (:class:`.Audience`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path
from typing import Self

from configbuild.errors import NotFoundError
from configbuild.events import line_id
from configbuild.journal.audience import Take
from configbuild.journal.offsets import find_offset, last_line, open_journal, read_block
from configbuild.journal.progress import Progress
from configbuild.journal.recovery import ends_build, sound_end


class _Place:
    """Where a follower stands in a journal, also in one that goes on in another file."""

    def __init__(self, path: Path, progress: Progress | None, after_id: int) -> None:
        self._path = path
        self._progress = progress
        self._after_id = after_id
        self._passed = b""  # the block behind which the cursor is, if it is not `_after_id`
        self.fd = open_journal(path)
        self.inode = os.fstat(self.fd).st_ino
        self.offset = 0
        self._end = 0
        self._found = False  # whether a line was found that lies behind the cursor
        self._told_any = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def look(self) -> None:
        """See how far the journal is written; blocks come up to there."""
        progress = self._progress
        self._end = sound_end(self.fd) if progress is None else progress.end_in(self.fd)

    @property
    def behind(self) -> bool:
        """Whether there is more up to where it looked, in this file."""
        return self.offset < self._end

    @property
    def caught_up(self) -> bool:
        """Whether it has all up to where it looked, and whatever comes lies behind its cursor."""
        return self._found and not self.behind

    def next_block(self) -> bytes:
        """Read the next whole lines; empty if there are none."""
        while True:
            if not self._found:
                self.offset = find_offset(self.fd, self._cursor(), begin=self.offset, end=self._end)
            block = read_block(self.fd, self.offset, self._end) if self.behind else b""
            if block:
                self._found = self._told_any = True
                self.offset += len(block)
                self._after_id, self._passed = _last_id(block), b""
                return block
            if not self._goes_on_elsewhere():
                return b""

    def passed(self, block: bytes) -> None:
        """Take note of a block that was handed over and not read here."""
        self.offset += len(block)
        self._passed = block  # one for all who are handed it, and seldom asked for its id

    def unseen_end(self) -> bytes:
        """Give the line that ends the build, if all lines lie before the cursor; else nothing."""
        if self._told_any or not self._end:
            return b""
        last = last_line(self.fd, self._end)
        return last if ends_build(last) else b""

    def _cursor(self) -> int:
        if self._passed:
            self._after_id, self._passed = _last_id(self._passed), b""
        return self._after_id

    def _goes_on_elsewhere(self) -> bool:
        """Go over to the file in which the journal goes on, if that is another one."""
        if self._progress is None or self._progress.is_in(self.fd):
            return False
        try:
            fresh = open_journal(self._path)
        except NotFoundError:
            return False
        if os.path.sameopenfile(fresh, self.fd):
            os.close(fresh)
            return False
        os.close(self.fd)
        self.fd, self.offset, self._found = fresh, 0, False
        self.inode = os.fstat(fresh).st_ino
        self.look()
        return True


def _last_id(block: bytes) -> int:
    return line_id(block[block.rfind(b"\n", 0, -1) + 1 :])


async def follow_journal(
    path: Path,
    progress: Progress | None,
    *,
    after_id: int,
    wait: bool,
    idle_s: float | None,
    take: Take | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield blocks of whole lines with ids above ``after_id``; see ``Journals.follow``.

    Without ``progress`` nobody writes the journal: it ends where it ends.
    """
    watched = progress.followed() if progress else nullcontext()
    with _Place(path, progress, after_id) as place, watched:
        while True:
            changed = progress.changed if progress else None
            ended = progress.ended if progress else True
            place.look()
            while block := place.next_block():
                yield block
                if place.behind:
                    await asyncio.sleep(0)  # else a reader whose send never blocks holds the loop
            if not wait or ended or not changed or not progress:
                break
            if take is None or changed.happened or not place.caught_up:
                is_more = await changed.wait(idle_s)
            else:
                is_more = await progress.audience.attend(place, take, idle_s)
            if not is_more:
                yield b""
        if last := place.unseen_end():
            yield last
