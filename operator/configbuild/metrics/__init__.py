"""What the operator counts: every metric's name, unit, labels and buckets.

Nobody else knows of Prometheus, save for who judges callers: builds, kube and web tell what happens
to a function that :mod:`configbuild.app` hands them, and those are the methods of :class:`Metrics`.

Names follow the conventions of Prometheus: base units, ``_total`` for what only grows. No label has
the name of a config or a build; each has few values, known beforehand.

``configbuild_http_auth_total`` and ``configbuild_review_*`` are counted where callers are judged
(:mod:`configbuild.web.access`, :mod:`configbuild.kube.reviews`).

Source: https://prometheus.io/docs/practices/naming/
"""

from configbuild.metrics.counts import Metrics
from configbuild.metrics.disk import bytes_on_disk, measure
from configbuild.metrics.words import OTHER, REASONS

__all__ = ["OTHER", "REASONS", "Metrics", "bytes_on_disk", "measure"]
