"""Go-style durations (``90s``, ``10m``, ``1h30m``), as Kubernetes writes them. Pure.

Source: https://pkg.go.dev/time#ParseDuration, without the units below a millisecond.
"""

from __future__ import annotations

import re

PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,3})?(h|m|s|ms))+$"

# What Go's time.Duration can hold: 2^63 - 1 nanoseconds, some 292 years.
LONGEST_S = (2**63 - 1) / 1e9

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(text: str) -> float:
    """Seconds of a Go-style duration; ``ValueError`` if ``text`` is none."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"not a duration: {text!r}; write for instance 90s, 10m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """Write ``seconds`` as a person would: ``340ms``, ``12.3s``, ``4m05s``, ``2h10m``."""
    # Rounded first: 999.6 ms is 1.0s and 59.96 s is 1m00s.
    if round(seconds * 1000) < 1000:
        return f"{seconds * 1000:.0f}ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"
