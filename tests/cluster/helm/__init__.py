"""Helm, for tests of the chart: built from its Go module, as the control plane's programs are."""

from .program import find_or_build_helm

__all__ = ["find_or_build_helm"]
