"""TLS: with a certificate that is given, or one that is made, and replaced while clients are on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import CollectorRegistry

from configbuild.web.access import Access
from configbuild.web.certificates import Authority, Files, expires_at, is_due
from configbuild.web.server import serve
from configbuild.web.tls import Tls, TlsError
from tests.process.support import in_loop
from tests.web.support import Lines, site
from tests.web.test_auth import ANN, AT_THE_GATE, Cluster

NAMES = ["configbuild-operator.team-a.svc", "localhost", "127.0.0.1", "::1"]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def trusting(certificate: bytes) -> ssl.SSLContext:
    """Make a client's context that trusts this authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


class Volume:
    """A Secret's volume as the kubelet fills it: a link to a folder, swapped at once."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._version = 0
        self.files = Files(certificate=directory / "tls.crt", key=directory / "tls.key")
        for name in ("tls.crt", "tls.key"):
            (directory / name).symlink_to(Path("..data", name))

    def hold(self, certificate: bytes, key: bytes) -> None:
        """Swap in another content."""
        self._version += 1
        folder = self._directory / f"..{self._version}"
        folder.mkdir()
        (folder / "tls.crt").write_bytes(certificate)
        (folder / "tls.key").write_bytes(key)
        fresh = self._directory / "..fresh"
        fresh.symlink_to(folder.name)
        fresh.replace(self._directory / "..data")


@asynccontextmanager
async def background(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@in_loop
async def test_made_certificate_is_good_for_who_trusts_its_authority_and_nobody_else(
    tmp_path: Path,
) -> None:
    mine, other = Authority(names=NAMES), Authority(names=NAMES)
    async with site(tmp_path, tls=Tls(mine.issue()).context) as here:
        assert here.url.startswith("https://127.0.0.1:")
        for host in ("127.0.0.1", "localhost"):
            url = here.url.replace("127.0.0.1", host) + "/healthz"
            async with httpx.AsyncClient(verify=trusting(mine.certificate)) as client:
                assert (await client.get(url)).json() == {"status": "ok"}
        async with httpx.AsyncClient(verify=trusting(other.certificate)) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(url)


@in_loop
async def test_name_that_is_not_the_servers_is_refused(tmp_path: Path) -> None:
    authority = Authority(names=["configbuild-operator.team-b.svc"])
    async with (
        site(tmp_path, tls=Tls(authority.issue()).context) as here,
        httpx.AsyncClient(verify=trusting(authority.certificate)) as client,
    ):
        with pytest.raises(httpx.ConnectError, match="IP address mismatch"):
            await client.get(f"{here.url}/healthz")


@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, None),
        (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (ssl.TLSVersion.MAXIMUM_SUPPORTED, "TLSv1.3"),
    ],
    ids=["1.1", "1.2", "newest"],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@in_loop
async def test_oldest_tls_is_1_2_and_the_newest_is_taken(
    tmp_path: Path, version: ssl.TLSVersion, spoken: str | None
) -> None:
    authority = Authority(names=NAMES)
    async with site(tmp_path, tls=Tls(authority.issue()).context) as here:
        context = trusting(authority.certificate)
        context.set_ciphers("ALL:@SECLEVEL=0")  # or the client itself would not speak 1.1
        context.maximum_version = version
        port = int(here.url.rpartition(":")[2])
        if spoken is None:
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection("127.0.0.1", port, ssl=context)
            return
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert writer.get_extra_info("ssl_object").version() == spoken
        writer.close()
        await writer.wait_closed()


@in_loop
async def test_another_pair_is_taken_up_and_streams_go_on(tmp_path: Path) -> None:
    old, new = Authority(names=NAMES), Authority(names=NAMES)
    volume = Volume(tmp_path / "tls")
    pair = old.issue()
    volume.hold(pair.certificate, pair.key)
    tls = Tls.of(volume.files)
    following = asyncio.create_task(tls.follow(volume.files, every_s=0.02))
    async with background(following), site(tmp_path, tls=tls.context) as here:
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        path = f"{here.url}/api/v1/builds/{build_id}/events?follow=true"
        async with (
            httpx.AsyncClient(verify=trusting(old.certificate), timeout=30) as client,
            client.stream("GET", path) as answer,
        ):
            lines = Lines(answer)
            await lines.until(AT_THE_GATE)
            pair = new.issue()
            volume.hold(pair.certificate, pair.key)
            await until_trusted(here.url, new)
            assert not await is_trusted(here.url, old)
            gate.open()
            assert await lines.rest() == here.journal(build_id)  # it was never broken off
        gate.close()


@pytest.mark.parametrize("broken", ["key of another", "no certificate", "gone", "encrypted"])
@in_loop
async def test_broken_pair_leaves_the_good_one_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    caplog.set_level(logging.INFO)
    old, new = Authority(names=NAMES), Authority(names=NAMES)
    volume = Volume(tmp_path / "tls")
    pair = old.issue()
    volume.hold(pair.certificate, pair.key)
    tls = Tls.of(volume.files)
    following = asyncio.create_task(tls.follow(volume.files, every_s=0.01))
    async with background(following), site(tmp_path, tls=tls.context) as here:
        another = new.issue()
        match broken:
            case "key of another":
                volume.hold(another.certificate, pair.key)
            case "no certificate":
                volume.hold(b"", another.key)
            case "gone":
                volume.files.key.unlink()
            case "encrypted":
                volume.hold(another.certificate, encrypted(another.key))
        await until_logged(caplog, "the certificate stays as it is")
        for _ in range(3):
            assert await is_trusted(here.url, old)
        if broken == "gone":
            volume.files.key.symlink_to(Path("..data", "tls.key"))
        volume.hold(another.certificate, another.key)
        await until_trusted(here.url, new)
    assert caplog.text.count("the certificate stays as it is") == 1


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_files_that_cannot_be_used_at_the_start_are_an_error_that_says_why(
    tmp_path: Path, missing: str
) -> None:
    pair = Authority(names=NAMES).issue()
    files = Files(certificate=tmp_path / "certificate", key=tmp_path / "key")
    files.certificate.write_bytes(pair.certificate)
    files.key.write_bytes(pair.key)
    Tls.of(files)
    (tmp_path / missing).unlink()
    with pytest.raises(TlsError, match=f"cannot be read.*{missing}"):
        Tls.of(files)


@in_loop
async def test_made_certificate_is_renewed_long_before_it_expires(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority(names=NAMES, now=now - timedelta(days=21))
    clock = [now - timedelta(days=2)]
    tls = Tls(authority.issue(now - timedelta(days=21)))
    renewing = asyncio.create_task(tls.renew(authority, every_s=0.01, clock=lambda: clock[0]))
    async with background(renewing), site(tmp_path, tls=tls.context) as here:
        first = await served(here.url, authority)
        clock[0] = now
        while (second := await served(here.url, authority)) == first:
            pass
        assert expires_at(second) - expires_at(first) > timedelta(days=20)


def test_certificate_is_due_ten_days_before_it_expires() -> None:
    pair = Authority(names=NAMES, now=NOW).issue(NOW)
    assert not is_due(pair, NOW + timedelta(days=19, hours=23))
    assert is_due(pair, NOW + timedelta(days=20))
    assert expires_at(pair.certificate) == NOW + timedelta(days=30)


def test_authority_signs_for_servers_only_and_its_key_is_not_told() -> None:
    pair = Authority(names=NAMES).issue()
    made = x509.load_pem_x509_certificate(pair.certificate)
    uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert pair.key.decode() not in repr(pair)


@in_loop
async def test_other_addresses_than_loopback_want_tls_and_callers_with_a_name(
    tmp_path: Path,
) -> None:
    tls = Tls(Authority(names=NAMES).issue()).context
    cluster = Cluster()
    access = Access(cluster, cluster, registry=CollectorRegistry())
    async with site(tmp_path) as here:
        for context, asked in ((None, access), (tls, None), (None, None)):
            here.app.state.backend = replace(here.app.state.backend, access=asked)
            with pytest.raises(ValueError, match="not a loopback address"):
                await serve(here.app, host="0.0.0.0", port=0, tls=context)
    async with site(tmp_path, host="0.0.0.0", tls=tls, access=access) as here:
        assert here.url.startswith("https://0.0.0.0:")
        assert (await here.http.get("/healthz")).status_code == 200
        assert (await here.http.get("/metrics")).status_code == 401
        assert (await here.http.get("/metrics", headers=ANN)).status_code == 200


@in_loop
async def test_plain_http_is_not_answered_where_tls_is_spoken(tmp_path: Path) -> None:
    async with site(tmp_path, tls=Tls(Authority(names=NAMES).issue()).context) as here:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(here.url.replace("https", "http") + "/healthz")
        assert (await here.http.get("/healthz")).status_code == 200


def encrypted(key: bytes) -> bytes:
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


async def served(url: str, authority: Authority) -> bytes:
    """Fetch the certificate that the server shows to a new connection."""
    port = int(url.rpartition(":")[2])
    context = trusting(authority.certificate)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return ssl.DER_cert_to_PEM_cert(shown).encode()


async def is_trusted(url: str, authority: Authority) -> bool:
    try:
        await served(url, authority)
    except ssl.SSLCertVerificationError:
        return False
    return True


async def until_trusted(url: str, authority: Authority) -> None:
    while not await is_trusted(url, authority):
        pass


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    while text not in caplog.text:  # noqa: ASYNC110 - nothing tells of a line in a log
        await asyncio.sleep(0.001)
