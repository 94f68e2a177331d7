"""Certificates and keys of one control plane. EC P-256: quick to make, and enough."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .member import API_SERVICE_ADDRESS, Member

# A control plane lives for one test run or one demo; a month is longer than either.
LIFETIME = timedelta(days=30)
# Clocks of two machines (a node of the e2e suite) may differ a little.
BACKDATE = timedelta(minutes=5)

SERVING_HOSTS = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
LOOPBACKS = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the certificates and keys of one control plane are. Pure."""

    directory: Path

    @property
    def ca(self) -> Path:
        """Certificate of the cluster's authority, whose key nobody keeps."""
        return self.directory / "ca.crt"

    @property
    def serving(self) -> KeyPair:
        return self._pair("serving")

    @property
    def admin(self) -> KeyPair:
        return self._pair("admin")

    @property
    def controller_manager(self) -> KeyPair:
        return self._pair("controller-manager")

    @property
    def scheduler(self) -> KeyPair:
        return self._pair("scheduler")

    @property
    def node(self) -> KeyPair:
        """For the kubelet, as a client of the API server."""
        return self._pair("node")

    @property
    def kube_proxy(self) -> KeyPair:
        return self._pair("kube-proxy")

    @property
    def kubelet_client(self) -> KeyPair:
        """For the API server, as a client of the kubelet: logs, exec."""
        return self._pair("kubelet-client")

    @property
    def etcd_ca(self) -> Path:
        return self.directory / "etcd-ca.crt"

    @property
    def etcd(self) -> KeyPair:
        """For the server and for its only client, kube-apiserver."""
        return self._pair("etcd")

    @property
    def service_account(self) -> KeyPair:
        """What signs service account tokens; its "certificate" is a bare public key."""
        return KeyPair(self.directory / "sa.pub", self.directory / "sa.key")

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(self.directory / f"{name}.crt", self.directory / f"{name}.key")


def create_pki(pki: Pki, member: Member | None = None) -> None:
    """Make every certificate and key of a control plane, and of its node if there is one.

    Etcd has an authority of its own, since whoever it accepts stands above all roles.
    """
    cluster = Authority("cluster", pki.ca)
    reached = () if member is None else (member.address, API_SERVICE_ADDRESS)
    addresses = (*LOOPBACKS, *reached)
    cluster.issue(pki.serving, "kube-apiserver", hosts=SERVING_HOSTS, addresses=addresses)
    cluster.issue(pki.admin, "admin", organizations=["system:masters"])
    cluster.issue(pki.controller_manager, "system:kube-controller-manager")
    if member is not None:
        _issue_for_node(cluster, pki, member)
    etcd = Authority("etcd", pki.etcd_ca)
    etcd.issue(pki.etcd, "etcd", hosts=["localhost"], addresses=LOOPBACKS)
    _create_signing_key(pki.service_account)


def _issue_for_node(cluster: Authority, pki: Pki, member: Member) -> None:
    """As kubeadm names them; the roles of these users are there from the API server's start."""
    cluster.issue(pki.scheduler, "system:kube-scheduler")
    cluster.issue(pki.node, f"system:node:{member.name}", organizations=["system:nodes"])
    cluster.issue(pki.kube_proxy, "system:kube-proxy")
    cluster.issue(pki.kubelet_client, "kube-apiserver", organizations=["system:masters"])


class Authority:
    """A certificate authority whose certificate is a file and whose key stays in memory."""

    def __init__(self, name: str, certificate: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _subject(f"{name}-ca")
        builder = _builder(self._subject, self._subject, self._key, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_key_usage(signs_certificates=True), True)
        self._write(certificate, builder)

    def issue(
        self,
        pair: KeyPair,
        common_name: str,
        *,
        organizations: Sequence[str] = (),
        hosts: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> None:
        """Write a certificate for a client, and with hosts or addresses for a server too.

        Kubernetes reads the common name as user and the organizations as groups:
        https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(common_name, organizations), self._subject, key, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), True)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if hosts or addresses:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(_alternative_names(hosts, addresses), False)
        self._write(pair.certificate, builder.add_extension(x509.ExtendedKeyUsage(uses), False))
        _write_key(pair.key, key)

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        certificate = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _create_signing_key(pair: KeyPair) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(pair.key, key)
    pair.certificate.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    """Return a builder with what RFC 5280 wants in each certificate (Python 3.13 insists)."""
    now = datetime.now(UTC)
    public, issuer_public = key.public_key(), issuer_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False
        )
    )


def _subject(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _alternative_names(
    hosts: Sequence[str], addresses: Sequence[str]
) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            *(x509.DNSName(host) for host in hosts),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
