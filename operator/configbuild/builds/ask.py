"""What somebody asks of a config beyond what it declares, and the answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from configbuild.builds.decision import Verdict
from configbuild.builds.records import BuildRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What somebody asks beyond what is declared.

    ``requested``: try again what failed; ``force``: build anew in any case; without ``join`` a
    build that runs already is an error (:class:`~configbuild.errors.BuildRunningError`).
    """

    requested: bool = False
    force: bool = False
    join: bool = True

    @property
    def explicit(self) -> bool:
        """Whether a person or program asked, rather than a declaration."""
        return self.requested or self.force


NOTHING_BEYOND = Ask()
"""What is declared, and no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensured:
    """What ensure did, and the build that it speaks of, where there is one."""

    verdict: Verdict
    record: BuildRecord | None
