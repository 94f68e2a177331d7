"""Where a Valkey server is: ``valkey://host:6379/0``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

_SCHEMES = {"valkey": False, "valkeys": True}

_PORT = 6379


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyAddress:
    """What a URL says of a server; ``user`` is one of its ACL's, ``None``: the default one."""

    host: str
    port: int
    database: int
    tls: bool
    user: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL; ``ValueError`` says what is wrong, without the URL: it may hold a secret."""
        try:
            parts = urlsplit(url)
        except ValueError:  # its own words may quote the URL
            raise ValueError("that is no URL") from None
        if parts.scheme not in _SCHEMES:
            raise ValueError("expected valkey://HOST[:PORT][/DATABASE], or valkeys:// for TLS")
        if parts.password is not None:
            raise ValueError(
                "a password has no place in the URL, which logs and `kubectl describe` show;"
                " put it into a Secret, mount that, and name the file in ADE_VALKEY_PASSWORD_FILE"
            )
        database = parts.path.strip("/") or "0"
        try:
            port = parts.port or _PORT
        except ValueError:  # it quotes what is there, which may be half of a password
            raise ValueError("the port is no number from 1 to 65535") from None
        if not parts.hostname:
            raise ValueError("the URL names no host")
        if parts.query or parts.fragment or not (database.isascii() and database.isdigit()):
            raise ValueError("after the host there may be a port and a database's number only")
        return cls(
            host=parts.hostname,
            port=port,
            database=int(database),
            tls=_SCHEMES[parts.scheme],
            user=unquote(parts.username) if parts.username else None,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
