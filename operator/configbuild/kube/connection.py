"""Where the API server is, whom to trust there, and as whom to ask: for ``rest`` and for kopf.

Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ for pods.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kopf

from configbuild.errors import ClusterError
from configbuild.kubeconfig import (
    KubeconfigError,
    current_cluster,
    current_user,
    kubeconfig_files,
    run_plugin,
)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a kubelet puts a pod's token, which it replaces before it expires, and its authority."""


class Connection:
    """How to reach one API server; a token that was replaced or has expired is taken up.

    ``files`` are those that ``read`` reads: it is called again after they have changed.
    """

    def __init__(
        self,
        info: kopf.ConnectionInfo,
        *,
        files: Sequence[Path] = (),
        read: Callable[[], kopf.ConnectionInfo] | None = None,
    ) -> None:
        self.info = info
        self._files = files
        self._read = read
        self._seen = _versions(files)

    async def headers(self) -> dict[str, str]:
        """Give the headers that say who asks.

        ``OSError`` or :class:`KubeconfigError` if new credentials cannot be read; the next call
        tries again.
        """
        seen = _versions(self._files)
        if self._read is not None and (seen != self._seen or _has_expired(self.info)):
            self.info = await asyncio.to_thread(self._read)
            self._seen = seen
        return self.info.as_http_headers()


async def load_connection() -> Connection:
    """Read how to reach the API server: ``KUBECONFIG``, or the pod's service account.

    :class:`KubeconfigError` or :class:`ClusterError` say what is wrong with it, or missing.
    """
    if os.environ.get("KUBECONFIG"):
        read, files = _of_kubeconfig, [*kubeconfig_files(), *_files_of_tokens()]
    else:
        read, files = _of_pod, [SERVICE_ACCOUNT / "token"]
    # In a thread, since a kubeconfig's user may be a program.
    return Connection(await asyncio.to_thread(read), files=files, read=read)


def _of_pod() -> kopf.ConnectionInfo:
    # By address: it needs no name server, and is among the names of the server's certificate.
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        token = (SERVICE_ACCOUNT / "token").read_text().strip()
    except OSError as error:
        raise ClusterError(
            f"no KUBECONFIG is set, and no service account is here: {error}"
        ) from None
    if not host or not token:
        missing = "the token is empty" if host else "KUBERNETES_SERVICE_HOST is not set"
        raise ClusterError(f"the pod's service account gives no access: {missing}")
    return kopf.ConnectionInfo(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_path=str(SERVICE_ACCOUNT / "ca.crt"),
        token=token,
    )


def _of_kubeconfig() -> kopf.ConnectionInfo:
    found = current_cluster()
    if found is None or not found[0].get("server"):
        files = ", ".join(map(str, kubeconfig_files()))
        raise KubeconfigError(f"KUBECONFIG: no current context with a cluster in {files}")
    cluster, cluster_directory = found
    if "tls-server-name" in cluster:
        raise KubeconfigError("KUBECONFIG: the watch cannot heed a cluster's tls-server-name")
    return kopf.ConnectionInfo(
        server=cluster["server"].rstrip("/"),
        insecure=cluster.get("insecure-skip-tls-verify"),
        proxy_url=cluster.get("proxy-url"),
        **_file_or_data("ca", cluster, "certificate-authority", cluster_directory),
        **_shown(*(current_user() or ({}, Path()))),
    )


def _shown(user: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Tell with what a kubeconfig's user says who they are."""
    if "auth-provider" in user:
        raise KubeconfigError(
            "KUBECONFIG: auth-provider is of the past; name a program by exec, or a token"
        )
    shown = {
        "username": user.get("username"),
        "password": user.get("password"),
        **_file_or_data("certificate", user, "client-certificate", directory),
        **_file_or_data("private_key", user, "client-key", directory),
    }
    if (file := user.get("tokenFile")) is not None:  # goes before the token, as in client-go
        shown["token"] = (directory / file).read_text().strip()
    elif "token" in user:
        shown["token"] = user["token"]
    elif "exec" in user:
        shown |= _given(run_plugin(user["exec"], directory))
    return shown


def _files_of_tokens() -> list[Path]:
    user, directory = current_user() or ({}, Path())
    return [directory / user["tokenFile"]] if user.get("tokenFile") else []


def _given(status: dict[str, Any]) -> dict[str, Any]:
    """Take what a program gave: a token, or a certificate with its key, and until when."""
    given: dict[str, Any] = {"token": status.get("token")}
    if "clientCertificateData" in status:
        given["certificate_data"] = status["clientCertificateData"]
        given["private_key_data"] = status.get("clientKeyData")
    if expires := status.get("expirationTimestamp"):
        given["expiration"] = datetime.fromisoformat(expires)
    return given


def _file_or_data(name: str, entry: dict[str, Any], field: str, directory: Path) -> dict[str, Any]:
    """Read a field that is a path, or the content itself under another name."""
    if data := entry.get(f"{field}-data"):
        return {f"{name}_data": data}
    return {f"{name}_path": str(directory / entry[field]) if entry.get(field) else None}


def _versions(files: Sequence[Path]) -> list[int | None]:
    """Tell one content of files from the next, cheaply: by their times of change."""
    return [file.stat().st_mtime_ns if file.exists() else None for file in files]


def _has_expired(info: kopf.ConnectionInfo) -> bool:
    return info.expiration is not None and info.expiration <= datetime.now(UTC)
