"""Who callers are and what they may do, as the API server says it.

TokenReview says whose a token is, SubjectAccessReview whether they may: the same questions that the
kubelet and every aggregated API ask. So who may read logs and start builds is said in RBAC, and a
token or a right that is taken away counts here as soon as the answers that are kept are over.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/ and
https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from configbuild.callers import Act, Identity
from configbuild.errors import ClusterError
from configbuild.kube.answers import Answers
from configbuild.kube.client import Right
from configbuild.kube.rest import FAILURES, Rest, words_of
from configbuild.model import ConfigKey
from configbuild.resource import GROUP, PLURAL

NEEDED = (
    Right("create", "authentication.k8s.io", "tokenreviews"),
    Right("create", "authorization.k8s.io", "subjectaccessreviews"),
)
"""What the operator has to be allowed in the whole cluster: ``system:auth-delegator``."""

_TOKEN_REVIEW = ("authentication.k8s.io/v1", "TokenReview", "tokenreviews")
_ACCESS_REVIEW = ("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews")

_RIGHTS = {
    Act.LIST_BUILDS: Right("list", GROUP, PLURAL),
    Act.READ_BUILD: Right("get", GROUP, PLURAL),
    Act.READ_LOG: Right("get", GROUP, PLURAL, "log"),
    Act.REQUEST_BUILD: Right("create", GROUP, PLURAL, "build"),
    Act.CANCEL_BUILD: Right("update", GROUP, PLURAL, "cancel"),
}
_METRICS = {"verb": "get", "path": "/metrics"}

# A caller waits for the answer, who is better told to come back than to wait longer.
_TIMEOUT_S = 10.0

# So many tokens that are no good must not keep the API server busy.
_AT_ONCE = 16

# Some hundred bytes each: some MB at most, and more than there are callers at once.
_KEPT = 10_000

# A right that somebody was just given should count soon, a refusal is cheap to ask for again.
_NO_PART = 0.2

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)


class Reviews:
    """Answers by asking the API server; an ``Authenticator`` and an ``Authorizer``.

    Every method raises :class:`ClusterError` if the API server does not answer.
    """

    def __init__(
        self,
        rest: Rest,
        *,
        audiences: Sequence[str],
        api_audience: bool,
        keep_s: float,
        registry: CollectorRegistry,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take tokens for one of ``audiences``, and with ``api_audience`` for the API server too.

        A yes is kept for ``keep_s`` seconds, and never longer than a token says that it is good.
        """
        self._rest = rest
        self._audiences = [list(audiences)] if audiences else []
        self._audiences += [[]] if api_audience else []
        self._wall = wall
        self._tokens: Answers[bytes, Identity | None] = Answers(
            yes_s=keep_s, no_s=keep_s * _NO_PART, limit=_KEPT, clock=monotonic
        )
        self._permissions: Answers[tuple[Identity, Act, ConfigKey | None], bool] = Answers(
            yes_s=keep_s, no_s=keep_s * _NO_PART, limit=_KEPT, clock=monotonic
        )
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._took = Histogram(
            "configbuild_review_duration_seconds",
            "Time that the API server took to say who a caller is, or what they may do.",
            ["kind"],
            registry=registry,
            buckets=_BUCKETS_S,
        )
        self._failed = Counter(
            "configbuild_review_failures",
            "Reviews that the API server did not answer.",
            ["kind"],
            registry=registry,
        )

    async def identify(self, token: str) -> Identity | None:
        """Tell whose token it is; ``None`` if it is nobody's, or for somebody else."""
        return await self._tokens.get(
            hashlib.sha256(token.encode()).digest(),  # so that no memory dump has it
            partial(self._review_token, token),
            at_most_s=_lifetime_s(token, self._wall()),
        )

    async def allows(self, identity: Identity, act: Act, key: ConfigKey | None) -> bool:
        """Tell whether somebody may do something with a config."""
        return await self._permissions.get(
            (identity, act, key), partial(self._review_access, identity, act, key)
        )

    def right(self, act: Act) -> str:
        """Name the right as it stands in a Role."""
        if act is Act.READ_METRICS:
            return "{verb} {path}".format_map(_METRICS)
        return _RIGHTS[act].words

    async def _review_token(self, token: str) -> Identity | None:
        for audiences in self._audiences:
            spec = {"token": token, "audiences": audiences} if audiences else {"token": token}
            status = await self._ask(_TOKEN_REVIEW, spec)
            # An authenticator that knows no audiences would answer for any: those that it found
            # have to be named (TokenReview v1, status.audiences).
            found = set(audiences) & set(status.get("audiences") or ())
            if status.get("authenticated") and (found or not audiences):
                return _identity(status.get("user") or {})
        return None

    async def _review_access(self, identity: Identity, act: Act, key: ConfigKey | None) -> bool:
        spec: dict[str, Any] = {
            "user": identity.name,
            "uid": identity.uid,
            "groups": list(identity.groups),
            "extra": {name: list(values) for name, values in identity.extra},
        }
        if act is Act.READ_METRICS:
            spec["nonResourceAttributes"] = _METRICS
        else:
            assert key is not None
            spec["resourceAttributes"] = {
                **_RIGHTS[act]._asdict(),
                "namespace": key.namespace,
                "name": key.name,
            }
        status = await self._ask(_ACCESS_REVIEW, spec)
        return status.get("allowed") is True and status.get("denied") is not True

    async def _ask(self, review: tuple[str, str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
        version, kind, plural = review
        body = {"apiVersion": version, "kind": kind, "spec": spec}
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._places:
                with self._took.labels(kind).time():
                    answer = await self._rest.post(f"/apis/{version}/{plural}", {}, body)
        except FAILURES as error:
            self._failed.labels(kind).inc()
            raise ClusterError(
                f"the API server cannot say who may do this now ({kind}: {words_of(error)})"
            ) from error
        status: dict[str, Any] = answer.get("status") or {}
        return status


def _identity(user: Mapping[str, Any]) -> Identity:
    extra = user.get("extra") or {}
    return Identity(
        name=user.get("username", ""),
        uid=user.get("uid", ""),
        groups=tuple(user.get("groups") or ()),
        extra=tuple(sorted((name, tuple(values)) for name, values in extra.items())),
    )


def _lifetime_s(token: str, now: float) -> float:
    """Tell how long a token is good by its own word (RFC 7519, ``exp``), as far as it says so.

    What it says is not checked here, so it is only used to keep an answer for a shorter time.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return max(0.0, float(claims["exp"]) - now)
    except (IndexError, ValueError, KeyError, TypeError):
        return math.inf
