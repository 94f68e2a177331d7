"""Which hosts sources and indexes may be fetched from, and by which addresses.

Whoever may create a ConfigBuild chooses the URL, and the operator stands inside the cluster: it
must not become their way to the metadata service of a cloud, to the API server or to a neighbour
(server-side request forgery, CWE-918). So a host must be one that the operator's settings name, or
have public addresses only; and the connection goes to the very addresses that were looked at, since
a name may resolve to something else a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from configbuild.errors import SourceError
from configbuild.urls import HostPattern, HttpsUrl

# ``is_global`` of Python calls these global, though they lead to an IPv4 address that stands inside
# them or to whoever listens: IPv4-compatible and IPv4-mapped (RFC 4291), NAT64 (RFC 6052, RFC
# 8215), Teredo (RFC 4380), 6to4 (RFC 3056) and its relays (RFC 7526), site-local (RFC 3879).
_DETOURS = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
        *("192.88.99.0/24", "fec0::/10"),
    )
)

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]


class HostError(SourceError):
    """A host that nothing is fetched from: neither allowed by the settings, nor public."""

    reason = "HostNotAllowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A URL that may be fetched, and the addresses that connections must go to."""

    url: HttpsUrl
    addresses: tuple[str, ...]


async def look_up(host: str, port: int) -> Sequence[str]:
    """Resolve a host as the system does; ``OSError`` if that fails."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """Admits or refuses URLs; ``look_up`` gives a host's addresses."""

    allowed: tuple[HostPattern, ...] = ()
    look_up: LookUp = look_up

    async def admit(self, text: str, field: str) -> Admitted:
        """Check a URL and resolve its host; ``field`` is where the URL stands in the spec.

        :class:`HostError` if it may not be fetched, :class:`SourceError` if its host has no
        address now.
        """
        try:
            url = HttpsUrl.parse(text)
        except ValueError as error:
            raise HostError(field, str(error), missing=True) from None
        try:
            addresses = await self.look_up(url.host, url.port)
        except OSError as error:
            raise SourceError(
                field, f"the host {url.host} cannot be resolved: {error.strerror or error}"
            ) from error
        if not any(pattern.matches(url) for pattern in self.allowed):
            _refuse_private(url, addresses, field)
        return Admitted(url=url, addresses=tuple(addresses))

    async def refuse_early(self, text: str, field: str) -> None:
        """Refuse before a build what it would refuse: :class:`HostError`.

        That names do not resolve now is no reason yet: nothing may have to be fetched.
        """
        try:
            await self.admit(text, field)
        except HostError:
            raise
        except SourceError:
            return


def is_public(address: str) -> bool:
    """Whether an address belongs to the Internet at large, and to nothing nearer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a scope ("fe80::1%eth0") has a meaning on one link only
        return False
    return (
        parsed.is_global
        and not parsed.is_multicast
        and not any(parsed in network for network in _DETOURS)
    )


def _refuse_private(url: HttpsUrl, addresses: Sequence[str], field: str) -> None:
    # One bad answer is enough: which of them a connection would take is a matter of chance.
    if not addresses or not all(is_public(address) for address in addresses):
        # Not the address itself: that would tell an author what the cluster's own names resolve to.
        raise HostError(
            field,
            f"the host {url.authority} does not resolve to public addresses only; nothing is"
            " fetched from it unless the operator's ADE_ALLOWED_HOSTS names it",
            missing=True,
        )
