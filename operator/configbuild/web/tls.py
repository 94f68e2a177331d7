"""TLS of the HTTP API: one context, whose certificate is replaced while connections go on.

A connection keeps the certificate that it began with; the next one gets the new one. A new pair
that is no good never takes the place of one that is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Self

from configbuild.errors import ConfigBuildError
from configbuild.web.certificates import Authority, Files, Pair, expires_at, is_due

logger = logging.getLogger(__name__)

# How often files are looked at. They are small, and a kubelet takes a minute to bring new ones, so
# this adds little to that. Their content is compared: a kubelet swaps a link far above them.
RELOAD_S = 10.0

# How often the age of a certificate of our own is looked at: by the wall clock, since a machine may
# have slept.
_RENEWAL_LOOK_S = 3600.0


class TlsError(ConfigBuildError):
    """A certificate or a key cannot be used."""

    reason = "TlsFailed"


class Tls:
    """Serves with one certificate after the other."""

    def __init__(self, pair: Pair) -> None:
        """:class:`TlsError` if the pair cannot be used."""
        self.context = _server_context()
        self._pair: Pair | None = None
        self.use(pair)

    @classmethod
    def of(cls, files: Files) -> Self:
        """Begin with what is in the files; :class:`TlsError` if that cannot be used."""
        try:
            return cls(files.read())
        except OSError as error:
            raise TlsError(f"certificate and key cannot be read: {error}") from error

    def use(self, pair: Pair) -> None:
        """Have all later connections get this certificate; :class:`TlsError` leaves all as it is.

        To be called from the thread that serves.
        """
        # A context that was given half a pair is good for nothing any more, so another one is asked
        # first whether the two belong together.
        _load(_server_context(), pair)
        _load(self.context, pair)
        self._pair = pair

    async def follow(self, files: Files, *, every_s: float = RELOAD_S) -> None:
        """Look for another pair in the files, for ever; one that is no good is logged once."""
        refused: Pair | str | None = None
        while True:
            await asyncio.sleep(every_s)
            try:
                pair = await asyncio.to_thread(files.read)
            except OSError as error:
                if refused != str(error):
                    logger.warning("the certificate stays as it is: %s", error)
                refused = str(error)
                continue
            if pair in (self._pair, refused):
                continue
            try:
                self.use(pair)
            except TlsError as error:
                # The two files may be of different age for a moment; the next look has both.
                logger.warning("the certificate stays as it is: %s", error.message)
                refused = pair
                continue
            refused = None
            logger.info("another certificate%s", _until(pair))

    async def renew(
        self,
        authority: Authority,
        *,
        every_s: float = _RENEWAL_LOOK_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make another certificate long before this one expires, for ever."""
        while True:
            await asyncio.sleep(every_s)
            now = clock()
            assert self._pair is not None
            if is_due(self._pair, now):
                self.use(authority.issue(now))
                logger.info("another certificate%s", _until(self._pair))


def _until(pair: Pair) -> str:
    try:
        return f", until {expires_at(pair.certificate)}"
    except ValueError:  # what OpenSSL takes, and a stricter reader does not
        return ""


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # RFC 8996 forbids what is older; of the two, the newer one is taken where the client has it.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    # OpenSSL takes files only; one in memory has the key touch no disk.
    with closing(_MemoryFile(pair.certificate + b"\n" + pair.key)) as file:
        try:
            context.load_cert_chain(file.path, password=_no_password)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"certificate and key cannot be used: {error}") from error


def _no_password() -> bytes:
    raise TlsError("the key is encrypted; it has to be one without a password")


class _MemoryFile:
    def __init__(self, content: bytes) -> None:
        self._fd = os.memfd_create("tls")
        self.path = f"/proc/self/fd/{self._fd}"
        with open(self._fd, "wb", closefd=False) as file:
            file.write(content)

    def close(self) -> None:
        os.close(self._fd)
