"""How far the local clock is from the API server's: each answer says what time it is there.

Other clocks are not asked: the API server's is the one that writes creation times, and those of
other clients are compared with. Nothing here sends a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from configbuild.notices import Notices

# Half a minute is far more than NTP leaves, and what people see first: times that lie ahead.
_OFF_S = 30.0

# Less than that, so that a clock at the limit is not told again and again.
_RIGHT_S = 20.0

# Clocks drift slowly; those that are set wrongly stay so.
_LOOK_EVERY_S = 60.0

# When in this time the server looked at its clock is not known, so that it is an error of half of
# it; mostly it is milliseconds.
_TOOK_TOO_LONG_S = 2.0

# The header is cut to whole seconds (RFC 9110, 5.6.7): on average it is this much behind.
_CUT_S = 0.5

_SUBJECT = "clock"


class ServerClock:
    """Compares the local clock with what the API server's answers say, once a minute at most.

    ``told`` hears by how many seconds the local clock is ahead (negative: behind), each time.
    """

    def __init__(
        self,
        notices: Notices,
        *,
        told: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notices = notices
        self._told = told
        self._monotonic = monotonic
        self._next_look = -1.0

    def heard(self, date: str, asked_at: float, took_s: float) -> None:
        """Take note of an answer: its ``Date``, when it was asked for, and how long it took.

        ``asked_at`` is the local clock, in seconds since the epoch.
        """
        now = self._monotonic()
        if now < self._next_look or took_s > _TOOK_TOO_LONG_S:
            return
        server = _seconds(date)
        if server is None:
            return
        self._next_look = now + _LOOK_EVERY_S
        self._judge(asked_at + took_s / 2 - (server + _CUT_S))

    def _judge(self, ahead_s: float) -> None:
        self._told(ahead_s)
        if abs(ahead_s) > _OFF_S:
            way = "ahead of" if ahead_s > 0 else "behind"
            text = (
                f"the clock of this node is {abs(ahead_s):.0f} s {way} the API server's: times in"
                " status are off, and ttl and retries will be once it is set; have NTP set both"
            )
            self._notices.begin(_SUBJECT, text)
        elif abs(ahead_s) < _RIGHT_S:
            self._notices.end(_SUBJECT, "the clock of this node agrees with the API server's again")


def _seconds(date: str) -> float | None:
    """Read an HTTP date; ``None`` if it is none."""
    try:
        found = parsedate_to_datetime(date)
    except ValueError:
        return None
    # Without a zone it is that of HTTP, which knows no other.
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
