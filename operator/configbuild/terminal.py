r"""Bytes meant for a terminal → plain bytes whose lines end in ``\n``. Pure.

Both classes are fed a stream in chunks. What they give depends on the stream alone, never on where
it was cut, and what they hold back until more is known is a few kilobytes at most.
"""

from __future__ import annotations

import re

# ECMA-48 and xterm's ctlseqs. The bounds are far beyond what programs send; they keep a sequence
# that never ends from being collected without limit. No sequence reaches over a line's end, so that
# a broken one costs at most the rest of its line.
_MAX_STRING = 4096  # OSC 8 hyperlinks hold a URL
_CSI = rb"\[[0-?]{0,256}[ -/]{0,16}"
_STRING = rb"[\]PX^_][^\x07\x1b\r\n]{0,%d}" % _MAX_STRING
_OTHER = rb"[ -/]{0,16}"
# With the lone ESC before it: a run of them costs one match. As `\x1b+` it would not begin with a
# literal, and the search for one is what makes this fast.
_SEQUENCE = re.compile(
    rb"\x1b\x1b*(?:" + _CSI + rb"[@-~]?|" + _STRING + rb"(?:\x07|\x1b\\)?|" + _OTHER + rb"[0-~]?)"
)
# One of them, cut before its end by the end of the data.
_UNFINISHED = re.compile(rb"\x1b(?:" + _CSI + rb"|" + _STRING + rb"\x1b?|" + _OTHER + rb")?\Z")
_MAX_SEQUENCE = _MAX_STRING + 8


class EscapeStripper:
    """Takes escape sequences out of a stream: CSI (colours, cursor), OSC and other strings, ESC x.

    A lone ESC goes as well. Other control characters stay.
    """

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next chunk; give what is certain by now."""
        if self._held:
            data = self._held + data
            self._held = b""
        if b"\x1b" not in data:
            return data
        if unfinished := _UNFINISHED.search(data, max(0, len(data) - _MAX_SEQUENCE)):
            self._held = data[unfinished.start() :]
            data = data[: unfinished.start()]
        return _SEQUENCE.sub(b"", data)

    def finish(self) -> bytes:
        """End the stream; a sequence that was not finished is dropped."""
        self._held = b""
        return b""


class LineEnds:
    r"""Makes every end of a line a single ``\n``.

    ``\r\n`` counts once (also ``\r\r\n``, which a pty makes of it). A bare ``\r`` ends a line too,
    so that a progress bar gives its states as lines; where that line would be empty, as between
    ``\n`` and ``\r``, it gives none. Empty lines that end in ``\n`` are kept.
    """

    def __init__(self) -> None:
        self._line_is_empty = True
        self._after_cr = False  # a line was just ended by \r: more \r, and one \n, belong to it

    def feed(self, data: bytes) -> bytes:
        """Take the next chunk; nothing is ever held back."""
        if self._after_cr:
            data = data.lstrip(b"\r")
            if not data:
                return data
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            data = self._without_cr(data)
        if data:
            self._line_is_empty = data.endswith(b"\n")
        return data

    def finish(self) -> bytes:
        """End the stream."""
        self._line_is_empty, self._after_cr = True, False
        return b""

    def _without_cr(self, data: bytes) -> bytes:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" not in data:
            return data
        if self._line_is_empty:
            data = data.lstrip(b"\r")
        # Expressions for what is rare only: a match takes as long as replace() takes for many.
        if b"\n\r" in data:
            data = re.sub(rb"\n\r+", b"\n", data)
        self._after_cr = data.endswith(b"\r")
        if b"\r\r" in data:
            data = re.sub(rb"\r\r+", b"\r", data)
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def plain(data: bytes) -> bytes:
    """Strip and normalise a whole text at once."""
    escapes, line_ends = EscapeStripper(), LineEnds()
    return line_ends.feed(escapes.feed(data) + escapes.finish())
