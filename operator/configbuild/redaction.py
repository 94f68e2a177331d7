r"""Hides secrets in a stream of bytes before it is cut into lines. Pure.

Two things are replaced by ``***``: the secrets that are known, and the user part of every URL
(``https://user:password@host`` → ``https://***@host``), known or not.

The result depends on the stream alone, never on where it was cut: bytes that may turn out to be
the beginning of a secret are held back until that is decided. So no cut can let a secret through,
be it between two reads, between the lines of a secret that has several, or inside a line that is
too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from configbuild.terminal import plain

MASK = b"***"

# A line of a secret with several lines (a private key) is hidden on its own too, since programs
# indent or prefix what they print. Shorter lines would hide half the log: "", "}", "-----".
_MIN_SECRET_LINE = 8

# RFC 3986 §3.2.1, but lenient: up to the last @ before the host's end, since people forget to
# escape an @ in a password. Tokens are below 4 KiB; the bound keeps what is held back finite.
_MAX_USERINFO = 4096
_USERINFO_CHAR = rb'[^\s/?#"<>]'
_USERINFO = re.compile(rb"://" + _USERINFO_CHAR + rb"{1,%d}@" % _MAX_USERINFO)
_UNDECIDED_URL = re.compile(rb":(?:/(?:/" + _USERINFO_CHAR + rb"{0,%d})?)?\Z" % (_MAX_USERINFO + 1))
_MAX_UNDECIDED_URL = _MAX_USERINFO + 8


class Redactor:
    """Knows the secrets of a build. Immutable: shared by streams and threads.

    Secrets are taken as they will look in a log: without escape sequences and surrounding white
    space, lines ending in a newline. Empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self.secrets = tuple(sorted(set(_spellings(secrets)), key=len, reverse=True))
        self.overlapping = frozenset(
            secret
            for secret in self.secrets
            if any(_can_overlap(secret, other) for other in self.secrets)
        )

    def open(self) -> RedactingStream:
        """Begin a stream."""
        return RedactingStream(self)

    def redact(self, data: bytes) -> bytes:
        """Hide the secrets in a whole text."""
        stream = self.open()
        return stream.feed(data) + stream.finish()


class RedactingStream:
    """One stream on its way through a :class:`Redactor`."""

    def __init__(self, redactor: Redactor) -> None:
        self._secrets = _SecretMask(redactor)
        self._userinfo = _UserinfoMask()

    def feed(self, data: bytes) -> bytes:
        """Take the next chunk; give what is certain to be no part of a secret."""
        return self._userinfo.feed(self._secrets.feed(data))

    def finish(self) -> bytes:
        """End the stream and give what was held back; a new one may begin."""
        return self._userinfo.feed(self._secrets.feed(b"", final=True), final=True)


class _SecretMask:
    """Replaces every run of bytes that belongs to an occurrence of a secret.

    Secrets that overlap in the text are hidden together, by one mask.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._secrets = redactor.secrets
        self._overlapping = redactor.overlapping
        self._held = b""
        self._masked = 0  # so many of the held bytes belong to a mask that was given already

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        if self._held:
            data = self._held + data
        hits = [secret for secret in self._secrets if secret in data]
        end = len(data) if final else self._undecided_from(data)
        self._held = data[end:]
        if self._masked or not self._overlapping.isdisjoint(hits):
            return self._mask_spans(data, end, hits)
        data = data[:end]
        for secret in hits:
            data = data.replace(secret, MASK)
        return data

    def _undecided_from(self, data: bytes) -> int:
        """Find the first position from which all of the data may be a secret's beginning."""
        end = len(data)
        last_byte = data[-1:]
        for secret in self._secrets:
            if last_byte not in secret:
                continue
            start = data.find(secret[:1], max(0, len(data) - len(secret) + 1), end)
            while start >= 0:
                if secret.startswith(data[start:]):
                    end = start
                    break
                start = data.find(secret[:1], start + 1, end)
        return end

    def _mask_spans(self, data: bytes, end: int, hits: list[bytes]) -> bytes:
        out: list[bytes] = []
        position = self._masked
        for start, stop in sorted(span for secret in hits for span in _spans(data, secret)):
            if start >= end:
                break
            if start >= position:
                out += data[position:start], MASK
            position = max(position, stop)
        out.append(data[position:end])
        self._masked = max(0, position - end)
        return b"".join(out)


class _UserinfoMask:
    """Replaces the user part of URLs."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        if b"://" not in data and not data.endswith((b":", b":/")):
            return data
        if not final and (
            undecided := _UNDECIDED_URL.search(data, max(0, len(data) - _MAX_UNDECIDED_URL))
        ):
            self._held = data[undecided.start() :]
            data = data[: undecided.start()]
        return _USERINFO.sub(b"://***@", data) if b"@" in data else data


def _spellings(secrets: Iterable[bytes]) -> Iterator[bytes]:
    """How the secrets may stand in a log."""
    for secret in secrets:
        whole = plain(secret).strip()
        if whole not in MASK:  # b"" is in it, too
            yield whole
        for line in whole.split(b"\n") if b"\n" in whole else ():
            if len(line.strip()) >= _MIN_SECRET_LINE:
                yield line.strip()


def _can_overlap(one: bytes, other: bytes) -> bool:
    """Whether an occurrence of ``other`` may begin inside one of ``one``, or the reverse."""
    if one != other and (one in other or other in one):
        return True
    shorter = min(len(one), len(other))
    return any(
        one.endswith(other[:length]) or other.endswith(one[:length]) for length in range(1, shorter)
    )


def _spans(data: bytes, secret: bytes) -> Iterator[tuple[int, int]]:
    start = data.find(secret)
    while start >= 0:
        yield start, start + len(secret)
        start = data.find(secret, start + 1)
