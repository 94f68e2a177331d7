"""Which version of the operator this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_DISTRIBUTION = "configbuild-operator"


def operator_version() -> str:
    """Tell which version of the operator runs."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
