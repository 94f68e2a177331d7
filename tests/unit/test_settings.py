"""Settings that belong together are checked together, and say how to mend them."""

from __future__ import annotations

from pathlib import Path

import pytest

from configbuild.cli.documents import InputError
from configbuild.cli.environment import load_settings

NAMES = ["configbuild-operator.team-a.svc", "localhost", "127.0.0.1", "::1"]


@pytest.fixture(autouse=True)
def _no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADE_HTTP_HOST", "ADE_AUTH", "ADE_POD_IP", "ADE_TLS_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_callers_can_only_be_left_unasked_on_loopback(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("ADE_HTTP_HOST", host)
    assert load_settings().auth == "kubernetes"
    monkeypatch.setenv("ADE_AUTH", "off")
    with pytest.raises(InputError, match=r"^ADE_AUTH=off: .*ADE_HTTP_HOST=127\.0\.0\.1"):
        load_settings()
    for loopback in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("ADE_HTTP_HOST", loopback)
        assert load_settings().on_loopback


@pytest.mark.parametrize("given", ["CERT", "KEY"])
def test_certificate_and_key_come_together(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(f"ADE_TLS_{given}_FILE", "/tls/file")
    with pytest.raises(InputError, match="set both or none"):
        load_settings()
    for other in ("CERT", "KEY"):
        monkeypatch.setenv(f"ADE_TLS_{other}_FILE", "/tls/file")
    assert load_settings().tls_cert_file == Path("/tls/file")


def test_some_audience_has_to_be_good(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().audiences == ("configbuild.ade.dev",)
    monkeypatch.setenv("ADE_AUTH_AUDIENCES", "one,two")
    assert load_settings().audiences == ("one", "two")
    monkeypatch.setenv("ADE_AUTH_AUDIENCES", "")
    assert load_settings().audiences == ()
    monkeypatch.setenv("ADE_AUTH_API_AUDIENCE", "false")
    with pytest.raises(InputError, match="ADE_AUTH_AUDIENCES"):
        load_settings()


def test_host_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADE_HTTP_HOST", "example.org")
    with pytest.raises(InputError, match=r"^ADE_HTTP_HOST: .*does not appear"):
        load_settings()


def test_made_certificate_has_all_names_by_which_the_pod_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ADE_POD_IP", "192.0.2.7")
    monkeypatch.setenv("ADE_HTTP_HOST", "192.0.2.8")
    names = load_settings().server_names("team-a")
    assert {*NAMES, "configbuild-operator", "192.0.2.7", "192.0.2.8"} <= set(names)
    monkeypatch.setenv("ADE_HTTP_HOST", "0.0.0.0")
    assert "0.0.0.0" not in load_settings().server_names("team-a")
