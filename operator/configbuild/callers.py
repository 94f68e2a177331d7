"""Who asks, and what for: the words between HTTP and whoever decides.

Pure, and below both: ``web`` asks, ``kube/reviews`` answers, and neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from configbuild.errors import ConfigBuildError
from configbuild.model import ConfigKey


class Act(StrEnum):
    """What a caller can want; the value goes into a sentence after "may not"."""

    LIST_BUILDS = "list builds"
    READ_BUILD = "read builds"
    READ_LOG = "read logs of builds"
    REQUEST_BUILD = "ask for builds"
    CANCEL_BUILD = "cancel builds"
    READ_METRICS = "read metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a caller is, as the one who vouches for the token says; can be a key of a mapping."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Authenticator(Protocol):
    """Knows callers by their tokens."""

    async def identify(self, token: str) -> Identity | None:
        """Tell whose token it is; ``None`` if it is nobody's, or nobody's any more.

        :class:`~configbuild.errors.ClusterError` if that cannot be known now.
        """


class Authorizer(Protocol):
    """Knows what callers may do."""

    async def allows(self, identity: Identity, act: Act, key: ConfigKey | None) -> bool:
        """Tell whether somebody may do something with a config (``None``: with the operator).

        :class:`~configbuild.errors.ClusterError` if that cannot be known now.
        """

    def right(self, act: Act) -> str:
        """Name the right that an act needs, in the words of who grants it."""


class UnauthorizedError(ConfigBuildError):
    """Nobody knows who asks; ``challenge`` says what would tell (RFC 6750, section 3)."""

    reason = "Unauthorized"

    def __init__(self, message: str, *, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge


class ForbiddenError(ConfigBuildError):
    """It is known who asks, and they may not do this."""

    reason = "Forbidden"
