"""Publishes whom clients are to trust: the authority of the certificate that the operator made."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from configbuild.errors import ConfigBuildError
from configbuild.kube.client import FIELD_MANAGER, Right
from configbuild.kube.rest import FAILURES, NotFoundError, Rest, words_of

logger = logging.getLogger(__name__)

CONFIG_MAP = "configbuild-ca"
"""The ConfigMap in the operator's own namespace."""

KEY = "ca.crt"
"""Its key, named as in ``kube-root-ca.crt``."""

NEEDED = (
    Right("create", "", "configmaps"),
    Right("get", "", "configmaps", name=CONFIG_MAP),
    Right("patch", "", "configmaps", name=CONFIG_MAP),
)
"""What the operator has to be allowed in its own namespace."""

# Where the kubelet puts what belongs to a service account.
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# Somebody may edit or delete it; a look costs one read.
_LOOK_S = 300.0
_RETRY_S = 5.0

_ALL = "/api/v1/namespaces/{namespace}/configmaps"
_ONE = f"{_ALL}/{{name}}"


class OwnNamespaceError(ConfigBuildError):
    """The operator does not know in which namespace it runs."""

    reason = "OwnNamespaceUnknown"


def own_namespace(named: str | None) -> str:
    """Tell in which namespace the operator runs; ``named`` is what its settings say."""
    if named:
        return named
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        raise OwnNamespaceError(
            "off loopback, the operator makes a certificate and publishes its authority in its own"
            " namespace, which it does not know: set ADE_POD_NAMESPACE, or give it a certificate"
            " (ADE_TLS_CERT_FILE, ADE_TLS_KEY_FILE)"
        ) from None


class Trust:
    """Keeps one certificate in a ConfigMap; what else is in it is left alone."""

    def __init__(self, rest: Rest, namespace: str, certificate: bytes) -> None:
        self._rest = rest
        self._namespace = namespace
        self._data = {KEY: certificate.decode()}

    async def publish(self) -> bool:
        """Write it if it is not there; nothing is written otherwise. Tell whether it is there now.

        What keeps it from being written is logged: builds and those who have the certificate
        already do not depend on it.
        """
        try:
            await self._publish()
        except FAILURES as error:
            logger.warning("ConfigMap %s not written: %s", CONFIG_MAP, words_of(error))
            return False
        return True

    async def keep_published(self) -> None:
        """Look after it, for ever."""
        while True:
            is_there = await self.publish()
            await asyncio.sleep(_LOOK_S if is_there else _RETRY_S)

    async def _publish(self) -> None:
        where = {"namespace": self._namespace, "name": CONFIG_MAP}
        query = {"fieldManager": FIELD_MANAGER}
        try:
            found: dict[str, Any] = await self._rest.get(_ONE, where)
        except NotFoundError:
            body = {
                "metadata": {
                    "name": CONFIG_MAP,
                    "labels": {"app.kubernetes.io/part-of": "configbuild"},
                },
                "data": self._data,
            }
            await self._rest.post(_ALL, {"namespace": self._namespace}, body, query)
            return
        if self._data.items() <= (found.get("data") or {}).items():
            return
        await self._rest.merge_patch(_ONE, where, {"data": self._data}, query)
