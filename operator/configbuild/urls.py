"""URLs that are fetched from, and patterns of hosts. Pure.

Programs differ in how they read a URL that is odd (backslashes, percent signs in the host, ``@``);
what is checked must be what is connected to, so whatever could be read in two ways is refused.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

HTTPS_PORT = 443

# RFC 3986 §3.2.2, without what RFC 1123 does not allow in a host name, save for the underscore that
# names in private networks have.
_HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})"
_URL = re.compile(rf"https://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?P<rest>/[!-~]*)?")
_PATTERN = re.compile(rf"(?P<dot>\.?)(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsUrl:
    """An ``https`` URL that every program reads alike.

    ``host`` is in lower case, without the dot at its end and, for IPv6, without brackets.
    """

    text: str
    host: str
    port: int
    rest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart; ``ValueError`` says what is wrong with it, without repeating it."""
        found = _URL.fullmatch(text)
        if found is None or "#" in text or "\\" in text:
            raise ValueError(
                "must be a plain https:// URL, without user name, password or fragment"
            )
        return cls(
            text=text,
            host=_normal(found["host"]),
            port=_port(found["port"]),
            rest=found["rest"] or "",
        )

    @property
    def canonical(self) -> str:
        """The URL with its host in normal form."""
        return f"https://{self.authority}{self.rest}"

    @property
    def authority(self) -> str:
        """Host and port for people; the port is left out where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPattern:
    """A host, or with ``suffix`` every host below it, at one port."""

    host: str
    port: int
    suffix: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host``, ``.suffix``, ``host:port`` or ``[address]:port``; ``ValueError`` if not.

        Without a port it is that of https, so that a pattern never opens more than it names.
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no host; write host, .suffix, host:port or [address]:port"
            )
        return cls(
            host=_normal(found["host"]), port=_port(found["port"]), suffix=bool(found["dot"])
        )

    def matches(self, url: HttpsUrl) -> bool:
        """Whether the URL's host and port are what this names."""
        if self.port != url.port:
            return False
        return url.host.endswith(f".{self.host}") if self.suffix else url.host == self.host


def parse_patterns(text: str) -> tuple[HostPattern, ...]:
    """Read patterns that commas or white space separate; ``ValueError`` names the one at fault."""
    return tuple(HostPattern.parse(part) for part in re.split(r"[,\s]+", text) if part)


def _normal(host: str) -> str:
    if host.startswith("["):
        return str(ipaddress.IPv6Address(host[1:-1]))
    return host.lower().rstrip(".")


def _port(text: str | None) -> int:
    port = HTTPS_PORT if text is None else int(text)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    return port
