"""Certificates and keys: read from files, or made here.

Where no certificate is given, one is made: an authority for this process, whose key never leaves
its memory, and by it a certificate that is renewed long before it expires. Who is to trust it gets
:attr:`Authority.certificate`, which can sign nothing by itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# No process lives that long, so the authority need not be renewed: a restart makes another.
_AUTHORITY_LIFETIME = timedelta(days=3650)
# Short enough to be renewed in the life of many a pod, so that renewal is nothing rare; long enough
# that one which fails for days does no harm.
_LIFETIME = timedelta(days=30)
_RENEW_AFTER = timedelta(days=20)
# Clocks of other machines may be behind.
_BACKDATE = timedelta(hours=1)

# RFC 5280 bounds a common name (ub-common-name).
_MAX_COMMON_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate, with the chain to its authority, and its private key; both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where somebody else puts a pair, and another when it is time."""

    certificate: Path
    key: Path

    def read(self) -> Pair:
        """Read both, one after the other; ``OSError`` if one cannot be read."""
        return Pair(certificate=self.certificate.read_bytes(), key=self.key.read_bytes())


class Authority:
    """Makes certificates for one server, under the names by which clients reach it."""

    def __init__(self, *, names: Sequence[str], now: datetime | None = None) -> None:
        """``names``: DNS names and IP addresses, as clients have them in their URLs."""
        self._names = tuple(dict.fromkeys(names))
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _subject("configbuild-operator CA")
        now = now or datetime.now(UTC)
        certificate = (
            _builder(self._subject, self._subject, self._key, self._key, now, _AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, now: datetime | None = None) -> Pair:
        """Make a certificate with a key of its own, good for 30 days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(self._names[0][:_MAX_COMMON_NAME])
        certificate = (
            _builder(subject, self._subject, key, self._key, now or datetime.now(UTC), _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in self._names]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Pair(
            certificate=certificate.public_bytes(serialization.Encoding.PEM),
            key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


def is_due(pair: Pair, now: datetime | None = None) -> bool:
    """Tell whether a certificate of an :class:`Authority` is to be replaced by another."""
    made = x509.load_pem_x509_certificate(pair.certificate).not_valid_before_utc + _BACKDATE
    return (now or datetime.now(UTC)) >= made + _RENEW_AFTER


def expires_at(certificate: bytes) -> datetime:
    """Tell when a certificate expires (the first of a chain); ``ValueError`` if it is none."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    """Begin a certificate with what RFC 5280 wants in each (Python 3.13 insists)."""
    public, issuer_public = key.public_key(), issuer_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False
        )
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
