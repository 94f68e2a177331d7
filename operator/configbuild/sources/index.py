"""Package indexes that a spec names: the same rules for hosts, and credentials for fetching alone.

uv and pip connect by themselves, so what is checked here is checked before they start; from there
on the sandbox and the cluster's network policies hold. Credentials go to commands that fetch wheels
and run no code of any package; see :meth:`configbuild.installers.InstallerCommands.fetch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from configbuild.errors import SourceError
from configbuild.installers import index_name
from configbuild.model import IndexOptions, Installer
from configbuild.sources.hosts import HostRules
from configbuild.sources.secrets import Credentials
from configbuild.urls import HttpsUrl

FIELD = "spec.install.index"

# What package indexes take a token by, PyPI first.
_TOKEN_USERNAME = "__token__"  # noqa: S105 - a name, no password


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAccess:
    """The indexes of one build. ``trusted``: that of the settings, which nobody has to check."""

    options: IndexOptions = field(default_factory=IndexOptions)
    hosts: HostRules = field(default_factory=HostRules)
    trusted: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)

    def require_a_use(self) -> None:
        """Refuse a Secret that is for none of the indexes: :class:`SourceError`."""
        if self.credentials is None or any(self._allowed(url) for url in self.options.urls):
            return
        raise SourceError(
            f"{FIELD}.secretRef",
            f"the Secret {self.credentials.name!r} may not be used for any of the indexes: its"
            " annotation ade.dev/allowed-hosts names none of their hosts",
            reason="SecretNotAllowed",
            missing=True,
        )

    async def refuse_early(self) -> None:
        """Refuse before a build what :meth:`check` would refuse for good."""
        for number, url in enumerate(self.options.urls):
            if url != self.trusted:
                await self.hosts.refuse_early(url, _field(number))

    async def check(self) -> None:
        """Check each index that the spec names; see :meth:`.HostRules.admit`."""
        for number, url in enumerate(self.options.urls):
            if url != self.trusted:
                await self.hosts.admit(url, _field(number))

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Values that no log may show."""
        return () if self.credentials is None else self.credentials.values

    @property
    def ca(self) -> bytes | None:
        """The authorities that the Secret wants the index to be checked by."""
        return None if self.credentials is None else self.credentials.ca

    def environment(self, installer: Installer, ca_file: Path) -> Mapping[str, str]:
        """Give what a command that fetches has in its environment besides all others'.

        ``ca_file`` is where :attr:`ca` lies, if there is any.
        """
        if self.credentials is None:
            return {}
        trust = {} if self.ca is None else _trust(ca_file)
        # The one configuration file that is read is ours.
        return {"UV_NO_CONFIG": "0", **trust, **self._login(installer, self.credentials)}

    def _login(self, installer: Installer, credentials: Credentials) -> Mapping[str, str]:
        if credentials.password is None:
            return {}
        username = credentials.username or _TOKEN_USERNAME
        if installer is Installer.PIP:
            # In a variable, since pip takes it from there and never shows it.
            url = HttpsUrl.parse(self.options.urls[0]).canonical.removeprefix("https://")
            login = f"{quote(username, safe='')}:{quote(credentials.password, safe='')}"
            return {"PIP_INDEX_URL": f"https://{login}@{url}"}
        return {
            f"UV_INDEX_{index_name(number).upper()}_{part}": text
            for number, url in enumerate(self.options.urls)
            if self._allowed(url)
            for part, text in (("USERNAME", username), ("PASSWORD", credentials.password))
        }

    def _allowed(self, url: str) -> bool:
        assert self.credentials is not None
        try:
            return self.credentials.allows(HttpsUrl.parse(url))
        except ValueError:  # the settings may name an index that is not https
            return False


def _trust(ca_file: Path) -> Mapping[str, str]:
    return {"SSL_CERT_FILE": str(ca_file), "PIP_CERT": str(ca_file)}


def _field(number: int) -> str:
    return f"{FIELD}.url" if number == 0 else f"{FIELD}.extraUrls[{number - 1}]"
