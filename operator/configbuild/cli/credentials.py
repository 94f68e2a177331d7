"""What the plugin shows to the operator, and whom it trusts: by default what kubectl has."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from configbuild.cli.documents import InputError
from configbuild.cli.objects import published_authority
from configbuild.kubeconfig import current_user, run_plugin

# Where manifests/default puts the operator.
_DEFAULT_OPERATOR_NAMESPACE = "configbuild-system"


class Token(Protocol):
    """A bearer token, wherever it comes from."""

    def read(self) -> str | None:
        """Give it; ``None`` if there is none.

        :class:`InputError` or :class:`~configbuild.kubeconfig.KubeconfigError` if it cannot be had.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenToken:
    """One that the user named."""

    value: str

    def read(self) -> str | None:
        """Give it."""
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """One in a file, that somebody may replace by a fresh one."""

    path: Path

    def read(self) -> str | None:
        """Read what is in the file now."""
        try:
            return self.path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token file {self.path} cannot be read: {error}") from None


class KubeconfigToken:
    """That of the user in the current context; ``None`` if they show something else."""

    def read(self) -> str | None:
        """Read it, or run the program that gives it."""
        found = current_user()
        if found is None:
            return None
        user, directory = found
        match user:
            case {"tokenFile": str(path)}:  # goes before the token, as in client-go
                return TokenFile(path=directory / path).read()
            case {"token": str(token)}:
                return token
            case {"exec": {"command": str()} as program}:
                given = run_plugin(program, directory).get("token")
                return str(given) if given else None
        return None


class Credentials:
    """Reads a token once, and again when it was refused."""

    def __init__(self, source: Token) -> None:
        self._source = source
        self._token: str | None = None
        self._is_read = False

    def token(self) -> str | None:
        """Give the token."""
        if not self._is_read:
            self._token, self._is_read = self._source.read(), True
        return self._token

    def renew(self) -> bool:
        """Read it again; tell whether it is another one."""
        before, self._is_read = self._token, False
        return self.token() != before


@dataclass(slots=True, kw_only=True)
class Trust:
    """Which certificates of the operator are good.

    A file of authorities, if one is named. Otherwise the authority that the operator publishes in
    one of ``namespaces``, and where there is none, those of the machine.
    """

    file: Path | None = None
    insecure: bool = False
    namespaces: Sequence[str] = ()
    _published: str | None = field(default=None, init=False)
    _is_read: bool = field(default=False, init=False)

    def context(self) -> ssl.SSLContext:
        """Make a context that verifies; :class:`InputError` if the file is no good."""
        context = ssl.create_default_context(cadata=self._authority())
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def renew(self) -> bool:
        """Look again for what is published; tell whether it is another one.

        An operator makes another authority at each start.
        """
        if self.file is not None or self.insecure:
            return False
        before, self._is_read = self._published, False
        return self._authority() != before

    def _authority(self) -> str | None:
        if self.insecure:
            return None
        if self.file is not None:
            return _authorities_in(self.file)
        if not self._is_read:
            places = (*self.namespaces, _DEFAULT_OPERATOR_NAMESPACE)
            found = (published_authority(place) for place in dict.fromkeys(places))
            self._published, self._is_read = next(filter(None, found), None), True
        return self._published


def _authorities_in(file: Path) -> str:
    try:
        text = file.read_text()
        ssl.create_default_context(cadata=text)
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        raise InputError(f"--certificate-authority: {file}: {error}") from None
    return text
