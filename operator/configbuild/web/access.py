"""Who may come in, and what they may do there.

Two questions, in this order: whose token is it (asked by :class:`.doorkeeper.Doorkeeper` before
anything of a request is read), and may they do this with that config (asked by the routes). Neither
is ever answered by a guess: if the answer cannot be had, the request is refused with 503.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter

from configbuild.callers import (
    Act,
    Authenticator,
    Authorizer,
    ForbiddenError,
    Identity,
    UnauthorizedError,
)
from configbuild.errors import ClusterError
from configbuild.model import ConfigKey

logger = logging.getLogger(__name__)

# RFC 6750, 2.1: `b64token`. What is no token costs the API server no question. The tokens of
# Kubernetes have about 1 KiB, those of identity providers some KiB; h11 takes 64 KiB of headers.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_MAX_TOKEN_CHARACTERS = 16 * 1024

_CHALLENGE = 'Bearer realm="configbuild"'
_INVALID = f'{_CHALLENGE}, error="invalid_token"'

# A stream that was allowed goes on for so long while the API server cannot say whether it still is:
# an outage of some minutes should not take people's logs away just when they are needed.
UNSURE_S = 300.0


class Answer(StrEnum):
    """How a request was judged; the label of the counter."""

    ALLOWED = "allowed"
    MISSING = "missing"
    INVALID = "invalid"
    FORBIDDEN = "forbidden"
    REVOKED = "revoked"
    UNAVAILABLE = "unavailable"


class Access:
    """Asks who a caller is and what they may do, and counts the answers."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        registry: CollectorRegistry,
        recheck_s: float = 60.0,
        unsure_s: float = UNSURE_S,
    ) -> None:
        """``recheck_s``: how often a stream is asked again whether it is still allowed."""
        self.authenticator = authenticator
        self.authorizer = authorizer
        self.recheck_s = recheck_s
        self.unsure_s = unsure_s
        self._answers = Counter(
            "configbuild_http_auth",
            "Answers to the questions who a caller is and what they may do.",
            ["result"],
            registry=registry,
        )
        for answer in Answer:
            self._answers.labels(answer)

    async def admit(self, authorization: str | None) -> Caller:
        """Find out who shows this ``Authorization`` header (``None``: there is none).

        :class:`UnauthorizedError` if nobody does, :class:`~configbuild.errors.ClusterError` if that
        cannot be known now.
        """
        if authorization is None:
            self.count(Answer.MISSING)
            raise UnauthorizedError(
                "show a token of the cluster, as Authorization: Bearer TOKEN", challenge=_CHALLENGE
            )
        shown = _BEARER.fullmatch(authorization)
        if shown is None or len(shown[1]) > _MAX_TOKEN_CHARACTERS:
            self.count(Answer.INVALID)
            raise UnauthorizedError(
                "the Authorization header holds no bearer token (RFC 6750)", challenge=_CHALLENGE
            )
        identity = await self.identify(shown[1])
        if identity is None:
            self.count(Answer.INVALID)
            raise UnauthorizedError(
                "the token is not valid: it is of another cluster or for another audience, or it"
                " has expired or was revoked",
                challenge=_INVALID,
            )
        return Caller(access=self, token=shown[1], identity=identity)

    async def identify(self, token: str) -> Identity | None:
        """Ask whose token it is."""
        try:
            return await self.authenticator.identify(token)
        except ClusterError:
            self.count(Answer.UNAVAILABLE)
            raise

    async def allows(self, identity: Identity, act: Act, key: ConfigKey | None) -> bool:
        """Ask whether they may."""
        try:
            allowed = await self.authorizer.allows(identity, act, key)
        except ClusterError:
            self.count(Answer.UNAVAILABLE)
            raise
        self.count(Answer.ALLOWED if allowed else Answer.FORBIDDEN)
        return allowed

    def count(self, answer: Answer) -> None:
        """Count an answer."""
        self._answers.labels(answer).inc()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request. Without ``access`` nobody is asked, and everybody may do everything."""

    access: Access | None = None
    token: str = ""
    identity: Identity | None = None

    async def may(self, act: Act, key: ConfigKey | None) -> bool:
        """Tell whether the caller may do something with a config."""
        if self.access is None:
            return True
        assert self.identity is not None
        return await self.access.allows(self.identity, act, key)

    async def require(self, act: Act, key: ConfigKey | None) -> None:
        """Have the caller be one who may, or raise :class:`ForbiddenError`.

        Only for what the caller named: the error tells that it is about something that is there.
        """
        if await self.may(act, key):
            return
        assert self.access is not None
        assert self.identity is not None
        where = f" of {key}" if key else ""
        raise ForbiddenError(
            f"{self.identity.name} may not {act}{where}; that needs the right to"
            f" {self.access.authorizer.right(act)}"
        )

    def permit(self, act: Act, key: ConfigKey) -> Permit:
        """Give what a long answer is watched by; ask :meth:`may` or :meth:`require` before."""
        return Permit(caller=self, act=act, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What somebody was allowed, to be asked about again while they make use of it."""

    caller: Caller
    act: Act
    key: ConfigKey

    async def lost(self) -> None:
        """Return once it no longer holds; never, where nobody is asked."""
        access = self.caller.access
        if access is None:
            await asyncio.Event().wait()
            return
        loop = asyncio.get_running_loop()
        sure_at = loop.time()
        while True:
            await asyncio.sleep(access.recheck_s)
            try:
                holds = await self._holds(access)
            except ClusterError as error:
                if loop.time() - sure_at < access.unsure_s:
                    continue
                logger.warning("a stream of %s is cut: %s", self.key, error)
                return
            if not holds:
                access.count(Answer.REVOKED)
                return
            sure_at = loop.time()

    async def _holds(self, access: Access) -> bool:
        identity = await access.identify(self.caller.token)
        return identity is not None and await access.allows(identity, self.act, self.key)


def _caller(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]
