"""For whom HTTP is served, and with which certificate: what ``web`` needs of the cluster."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY

from configbuild.kube import reviews, trust
from configbuild.kube.client import Cluster
from configbuild.settings import Settings
from configbuild.web.access import Access
from configbuild.web.certificates import Authority, Files
from configbuild.web.tls import Tls


async def make_access(settings: Settings, cluster: Cluster) -> Access | None:
    """Have the API server asked about callers; :class:`PermissionMissingError` if it may not be."""
    if settings.auth == "off":
        return None
    await cluster.check_permissions(None, reviews.NEEDED)
    judge = reviews.Reviews(
        cluster.rest,
        audiences=settings.audiences,
        api_audience=settings.auth_api_audience,
        keep_s=settings.auth_cache_seconds,
        registry=REGISTRY,
    )
    return Access(judge, judge, registry=REGISTRY, recheck_s=settings.auth_recheck_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What HTTP is served with, and what has to run for it to stay good; ``None``: no TLS."""

    context: ssl.SSLContext | None = None
    upkeep: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()


async def make_certificate(settings: Settings, cluster: Cluster) -> Certificate:
    """Take the certificate that is given, or make one; on loopback there need be none."""
    if settings.tls_cert_file and settings.tls_key_file:
        files = Files(certificate=settings.tls_cert_file, key=settings.tls_key_file)
        given = Tls.of(files)
        return Certificate(context=given.context, upkeep=(lambda: given.follow(files),))
    if settings.on_loopback:
        return Certificate()
    namespace = trust.own_namespace(settings.pod_namespace)
    await cluster.check_permissions(namespace, trust.NEEDED)
    authority = Authority(names=settings.server_names(namespace))
    made = Tls(authority.issue())
    published = trust.Trust(cluster.rest, namespace, authority.certificate)
    await published.publish()
    return Certificate(
        context=made.context, upkeep=(lambda: made.renew(authority), published.keep_published)
    )
