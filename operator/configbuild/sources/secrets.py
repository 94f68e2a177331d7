"""Credentials out of Secrets: used for the hosts that the Secret itself names, and for no other.

The operator may read every Secret of a namespace, an author of a ConfigBuild perhaps none. So that
an author cannot have one sent to a host of their choice (a confused deputy, CWE-441), whoever owns
the Secret says where it may go, in the annotation ``ade.dev/allowed-hosts``.

Values are read when a source is resolved, are kept for that one build only, and stand in no text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from configbuild.errors import ClusterError, SourceError
from configbuild.urls import HostPattern, HttpsUrl, parse_patterns

ALLOWED_HOSTS = "ade.dev/allowed-hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretContent:
    """What a Secret holds, decoded, and its annotations."""

    data: Mapping[str, bytes] = field(repr=False)
    annotations: Mapping[str, str]


class Secrets(Protocol):
    """Where Secrets come from: the API server."""

    async def secret(self, namespace: str, name: str) -> SecretContent | None:
        """Fetch one, never from a cache; ``None`` if there is none.

        :class:`~configbuild.errors.ClusterError` if nobody answers, or if it may not be read.
        """


class NoSecrets:
    """Stands for the Secrets of a place that has none."""

    async def secret(self, namespace: str, name: str) -> SecretContent | None:
        """See :class:`Secrets`: there is none."""
        del namespace, name
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who the operator is to a server, and by which authority the server is known.

    ``password`` is ``None`` where the Secret holds an authority's certificates only. ``username``
    is ``None`` for a token (RFC 6750). ``name`` is that of the Secret.
    """

    name: str
    username: str | None
    password: str | None = field(repr=False)
    ca: bytes | None = field(repr=False)
    allowed: tuple[HostPattern, ...]

    def require(self, url: HttpsUrl, field: str) -> None:
        """Refuse to be sent to a host that the Secret does not name: :class:`SourceError`."""
        if not self.allows(url):
            raise SourceError(
                field,
                f"the Secret {self.name!r} may not be used for {url.authority}: its annotation"
                f" {ALLOWED_HOSTS} does not name it",
                reason="SecretNotAllowed",
                missing=True,
            )

    def allows(self, url: HttpsUrl) -> bool:
        """Whether the Secret names the URL's host."""
        return any(pattern.matches(url) for pattern in self.allowed)

    @property
    def authorization(self) -> str | None:
        """The value of the header ``Authorization`` (RFC 7617, RFC 6750)."""
        if self.password is None:
            return None
        if self.username is None:
            return f"Bearer {self.password}"
        return f"Basic {self._basic}"

    @property
    def values(self) -> tuple[bytes, ...]:
        """What no log may show: the password as it is, as in a URL, and as in a header."""
        if self.password is None:
            return ()
        return tuple(text.encode() for text in self._spellings())

    def _spellings(self) -> Iterator[str]:
        assert self.password is not None
        yield self.password
        yield quote(self.password, safe="")
        if self.username is not None:
            yield self._basic

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


async def read_credentials(secrets: Secrets, namespace: str, name: str, field: str) -> Credentials:
    """Read a Secret: ``username`` and ``password``, or ``token``, and ``ca.crt`` where it is there.

    :class:`SourceError` says what is wrong with it; no message holds anything of its values.
    """
    try:
        content = await secrets.secret(namespace, name)
    except ClusterError as error:
        raise SourceError(field, error.message) from error
    if content is None:
        raise SourceError(
            field,
            f"there is no Secret {name!r} in namespace {namespace!r}; create it, or correct the"
            " name",
            reason="SecretNotFound",
            missing=True,
        )
    try:
        return _credentials(name, content)
    except ValueError as problem:
        raise SourceError(
            field, f"the Secret {name!r} {problem}", reason="SecretInvalid", missing=True
        ) from None


def _credentials(name: str, content: SecretContent) -> Credentials:
    username, password, token = (
        _text(content.data, key) for key in ("username", "password", "token")
    )
    ca = content.data.get("ca.crt")
    if (username is None) != (password is None):
        raise ValueError("has only one of username and password")
    if token is not None and password is not None:
        raise ValueError("has both a token and a password; only one can be sent")
    if username is not None and ":" in username:
        raise ValueError("has a username with a colon, which RFC 7617 does not allow")
    if password is None and token is None and ca is None:
        raise ValueError("has none of username and password, token, ca.crt")
    try:
        allowed = parse_patterns(content.annotations.get(ALLOWED_HOSTS, ""))
    except ValueError as error:
        raise ValueError(f"has a wrong annotation {ALLOWED_HOSTS}: {error}") from None
    return Credentials(
        name=name, username=username, password=password or token, ca=ca, allowed=allowed
    )


def _text(data: Mapping[str, bytes], key: str) -> str | None:
    if key not in data:
        return None
    try:
        # The newline that editors and `echo` leave at the end is never meant.
        text = data[key].decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"has a {key} that is not UTF-8") from None
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"has a {key} that is empty or holds a control character")
    return text
