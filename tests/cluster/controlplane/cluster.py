"""What a test does with a running control plane, whichever process has started it."""

from __future__ import annotations

import json
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .assets import Assets
from .audit import AuditLog
from .errors import ApiError, KubectlError, StartError
from .kubeconfig import token_user, write_kubeconfig
from .layout import Layout
from .rest import ApiClient
from .waiting import wait_until

# It was ready before; this is for a machine that does other things.
ANSWER_TIMEOUT_S = 20.0
# It takes milliseconds; likewise.
SERVICE_ACCOUNT_TIMEOUT_S = 60.0
# Longer than any test run, so that no test fails by an expired token.
TOKEN_LIFETIME_S = 24 * 3600
# Calls that wait bound themselves (`--timeout`); this ends one that hangs.
KUBECTL_TIMEOUT_S = 300.0
# Nothing else of the environment reaches kubectl: no KUBECONFIG, no plugins' settings.
KUBECTL_PATH = "/usr/local/bin:/usr/bin:/bin"


class Cluster:
    """Access to a running control plane as its administrator."""

    def __init__(self, directory: Path, *, url: str, assets: Assets) -> None:
        self.url = url
        self.assets = assets
        self._layout = Layout(directory)
        self._api = ApiClient(url, ca=self.ca, user=self._layout.pki.admin)

    @classmethod
    def load(cls, directory: Path) -> Cluster:
        """Return access to the control plane that another process runs in `directory`.

        Raises:
            StartError: there is none, or it does not answer.
        """
        try:
            record = json.loads(Layout(directory).record.read_text())
        except FileNotFoundError:
            raise StartError(f"no control plane has become ready in {directory}") from None
        cluster = Cluster(directory, url=record["url"], assets=Assets(Path(record["assets"])))
        try:
            wait_until(cluster.ready, what="it answers", timeout_s=ANSWER_TIMEOUT_S)
        except TimeoutError:
            raise StartError(f"the control plane in {directory} is gone: see its logs/") from None
        return cluster

    def save(self) -> None:
        """Let other processes `load` this control plane."""
        record = {"url": self.url, "assets": str(self.assets.directory)}
        self._layout.record.write_text(json.dumps(record) + "\n")

    @property
    def directory(self) -> Path:
        return self._layout.root

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of an administrator (system:masters)."""
        return self._layout.admin_kubeconfig

    @property
    def ca(self) -> Path:
        """Certificate of the authority that signed the API server's, as PEM."""
        return self._layout.pki.ca

    @property
    def audit(self) -> AuditLog:
        """What the API server recorded about every request."""
        return AuditLog(self._layout.audit_log)

    def kubectl(
        self,
        *args: str,
        stdin: str | None = None,
        kubeconfig: Path | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, or as somebody else by their kubeconfig.

        Its caches are this control plane's own, so the user's are neither used nor changed.

        Raises:
            KubectlError: it exited with something else than 0, and `check` is true.
        """
        home = self._layout.kubectl_home
        result = subprocess.run(
            [str(self.assets.kubectl), f"--kubeconfig={kubeconfig or self.kubeconfig}", *args],
            env={"PATH": KUBECTL_PATH, "HOME": str(home), "KUBECACHEDIR": str(home / "cache")},
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=KUBECTL_TIMEOUT_S,
            check=False,
        )
        if check and result.returncode != 0:
            raise KubectlError(args, result.returncode, result.stderr)
        return result

    def apply(self, path: str, body: object, *, manager: str = "kubectl") -> None:
        """Apply an object by its path as ``kubectl apply --server-side`` does; see :meth:`get`.

        Raises:
            ApiError: the server answered with an error status.
            OSError: it could not be reached.
        """
        self._api.apply(path, body, manager=manager)

    def get(self, path: str) -> Any:
        """Read from the API by its path, as the administrator.

        For what is asked again and again: each kubectl takes a tenth of a second of a processor.

        Raises:
            ApiError: the server answered with an error status.
            OSError: it could not be reached.
        """
        return self._api.get(path)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig with a fresh token of an existing service account.

        Its context is in the account's namespace; the token is good for 24 hours.

        Raises:
            ApiError: there is no such service account (code 404).
        """
        answer = self._api.post(
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": TOKEN_LIFETIME_S},
            },
        )
        return write_kubeconfig(
            self._layout.kubeconfig(f"{namespace}_{name}"),  # no Kubernetes name has a _
            url=self.url,
            ca=self.ca,
            user=token_user(answer["status"]["token"]),
            namespace=namespace,
        )

    def create_namespace(self, prefix: str) -> str:
        """Create a namespace `<prefix>-<random>`; return its name once it can be used.

        That is when its default service account exists: pods and tokens need it.

        Raises:
            TimeoutError: kube-controller-manager did not create it within a minute.
        """
        created = self._api.post(
            "/api/v1/namespaces",
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"generateName": f"{prefix}-"},
            },
        )
        name: str = created["metadata"]["name"]
        wait_until(
            lambda: self.has_default_service_account(name),
            what=f"service account default in namespace {name}",
            timeout_s=SERVICE_ACCOUNT_TIMEOUT_S,
        )
        return name

    def delete_namespace(self, name: str) -> None:
        """Ask for a namespace's deletion, and do not wait for it; one that is gone is fine."""
        try:
            self._api.delete(f"/api/v1/namespaces/{name}")
        except ApiError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise

    def ready(self) -> bool:
        """Tell whether the API server says that it is ready; False also if it is not there."""
        return self._api.ready()

    def has_default_service_account(self, namespace: str) -> bool:
        """Tell whether kube-controller-manager has made the namespace's default account."""
        try:
            self._api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        except ApiError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True
