"""Annotations that ask for one-off acts, each by a token that is handled once. Pure.

Git owns the whole spec, so what is to happen once cannot stand there: ``ade.dev/force`` (build
anew), ``ade.dev/request`` (look again, and try again what failed), ``ade.dev/cancel`` (end the
build that waits or runs), ``ade.dev/activate`` (use an earlier build). A token is any short text;
another text is another request. Tokens on an object that is seen for the first time are taken down
and not acted on, since an object that is restored from a backup or copied asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from configbuild.model import BuildId

PREFIX = "ade.dev/"

# The same that Kubernetes takes for a label's value, so that tools which make those can make these.
_TOKEN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:+-]{0,61}[A-Za-z0-9])?")


class TokenKind(StrEnum):
    """What a token asks for; with :data:`PREFIX` in front, the annotation's name."""

    FORCE = "force"
    REQUEST = "request"
    CANCEL = "cancel"
    ACTIVATE = "activate"

    @property
    def annotation(self) -> str:
        """The annotation's whole name."""
        return PREFIX + self


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """A token that was handled: at which generation, and the build that it led to, if any."""

    token: str
    generation: int
    build_id: BuildId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of an object; ``faults`` says of each that is none what was expected."""

    values: Mapping[TokenKind, str]
    faults: Mapping[TokenKind, str]

    def due(self, handled: Mapping[TokenKind, Handled]) -> dict[TokenKind, str]:
        """Choose those that have not been handled."""
        return {
            kind: token
            for kind, token in self.values.items()
            if kind not in handled or handled[kind].token != token
        }


def read_tokens(annotations: Mapping[str, str]) -> Tokens:
    """Read the tokens among an object's annotations."""
    values: dict[TokenKind, str] = {}
    faults: dict[TokenKind, str] = {}
    for kind in TokenKind:
        token = annotations.get(kind.annotation)
        if token is None:
            continue
        if _is_token(kind, token):
            values[kind] = token
        else:
            faults[kind] = f"{kind.annotation}: {token[:64]!r} is {_expected(kind)}"
    return Tokens(values=values, faults=faults)


def _is_token(kind: TokenKind, token: str) -> bool:
    if kind is TokenKind.ACTIVATE:
        try:
            BuildId.parse(token)
        except ValueError:
            return False
        return True
    return _TOKEN.fullmatch(token) is not None


def _expected(kind: TokenKind) -> str:
    if kind is TokenKind.ACTIVATE:
        return "no build id; expected build_ and a ULID, as status.history lists them"
    return (
        "no token; expected 1 to 63 letters, digits, '-', '_', '.', ':' or '+', for instance a time"
    )
