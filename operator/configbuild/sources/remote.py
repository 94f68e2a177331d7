"""What a remote source is to the engine: something that is known exactly, and still to be fetched.

Resolved outside any build (:mod:`.resolver`), fetched by the step ``fetch_config`` in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from configbuild.cage import Reach
from configbuild.origins import Archive, Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended (its exit code, or 128 plus a signal), and the last it said.

    ``output`` is what it wrote to standard output, where somebody asked for that; ``tail`` are the
    last lines of both streams, redacted.
    """

    status: int
    output: bytes = b""
    tail: Sequence[str] = ()


class Run(Protocol):
    """Runs one command below a launcher: it is ended whole on cancellation, and reaped."""

    async def __call__(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path, reach: Reach
    ) -> Ran:
        """Run it to its end; a bad exit code does not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where a source is fetched.

    ``tree`` is to be made and filled. ``scratch`` is an empty folder for all else. ``run`` runs
    commands as part of the step; ``say`` writes a line to its log.
    """

    tree: Path
    scratch: Path
    run: Run
    say: Say


class Say(Protocol):
    """Writes a line to the log of a step."""

    def __call__(self, line: str) -> None:
        """Write it."""


class RemoteTree(Protocol):
    """A source tree elsewhere, of known content."""

    @property
    def digest(self) -> str:
        """What identifies the content: equal digests, equal trees."""

    @property
    def moving(self) -> bool:
        """Whether what the spec names may be something else later."""

    @property
    def origin(self) -> Repository | Archive:
        """Where the content can be had again."""

    @property
    def secrets(self) -> Sequence[bytes]:
        """Values that no log may show."""

    async def fetch(self, place: Workplace) -> None:
        """Fill ``place.tree`` with exactly this content.

        :class:`~configbuild.errors.SourceError` says why not. Cancelled, it leaves what it has in
        ``place`` and nothing else.
        """
