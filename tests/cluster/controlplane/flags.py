"""The command line of each component. Pure."""

from __future__ import annotations

from .assets import Assets
from .certs import Pki
from .layout import Layout
from .member import SERVICE_RANGE, Member
from .ports import LOOPBACK, Ports

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # Leaves one line a request, written when it is answered, and one when a watch begins.
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [{"level": "Metadata"}],
}


def apiserver_url(ports: Ports) -> str:
    """Return where the API server listens."""
    return f"https://{LOOPBACK}:{ports.apiserver}"


def etcd(assets: Assets, layout: Layout, ports: Ports) -> list[str]:
    """Etcd with one member; it takes only clients with a certificate of its authority."""
    client = f"https://{LOOPBACK}:{ports.etcd}"
    peer = f"https://{LOOPBACK}:{ports.etcd_peer}"
    pki = layout.pki
    return [
        str(assets.etcd),
        f"--data-dir={layout.etcd_data}",
        "--unsafe-no-fsync",  # nothing here is to survive a power cut
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--cert-file={pki.etcd.certificate}",
        f"--key-file={pki.etcd.key}",
        f"--trusted-ca-file={pki.etcd_ca}",
        "--client-cert-auth",
        f"--peer-cert-file={pki.etcd.certificate}",
        f"--peer-key-file={pki.etcd.key}",
        f"--peer-trusted-ca-file={pki.etcd_ca}",
        "--peer-client-cert-auth",
        "--log-level=warn",
    ]


def kube_apiserver(
    assets: Assets, layout: Layout, ports: Ports, member: Member | None = None
) -> list[str]:
    """Kube-apiserver with roles enforced, every request audited, and default admission."""
    pki = layout.pki
    return [
        str(assets.kube_apiserver),
        *(_ALONE if member is None else _with_node(pki, member)),
        f"--secure-port={ports.apiserver}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
        f"--etcd-cafile={pki.etcd_ca}",
        f"--etcd-certfile={pki.etcd.certificate}",
        f"--etcd-keyfile={pki.etcd.key}",
        f"--tls-cert-file={pki.serving.certificate}",
        f"--tls-private-key-file={pki.serving.key}",
        f"--client-ca-file={pki.ca}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={pki.service_account.key}",
        f"--service-account-key-file={pki.service_account.certificate}",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        # MB. By default a new file is begun after 100, and byte offsets would be void.
        "--audit-log-maxsize=100000",
    ]


_ALONE = (
    f"--bind-address={LOOPBACK}",
    # Else it looks for a default route, which a machine that is offline lacks; and no
    # node or pod is there to use the endpoints of the service `kubernetes`.
    f"--advertise-address={LOOPBACK}",
    "--endpoint-reconciler-type=none",
    "--authorization-mode=RBAC",
)


def _with_node(pki: Pki, member: Member) -> tuple[str, ...]:
    return (
        "--bind-address=0.0.0.0",
        f"--advertise-address={member.address}",
        "--authorization-mode=Node,RBAC",
        f"--kubelet-client-certificate={pki.kubelet_client.certificate}",
        f"--kubelet-client-key={pki.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",  # no name of a node is resolved here
    )


def kube_controller_manager(assets: Assets, layout: Layout) -> list[str]:
    """Kube-controller-manager with all its default controllers, each with its own role."""
    return [
        str(assets.kube_controller_manager),
        f"--kubeconfig={layout.controller_manager_kubeconfig}",
        # As kubeadm does it. The one certificate alone is not allowed to do the
        # controllers' work: each asks for a token of its own service account.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.pki.service_account.key}",
        f"--root-ca-file={layout.pki.ca}",
        "--leader-elect=false",  # there is only this one, and a lease would delay its start
        "--secure-port=0",  # nobody scrapes it: one port less to be taken
        # Requests a second and client. By default (20, 30) the deletion of a namespace,
        # one request for each of some sixty kinds, waits for its turn.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]
