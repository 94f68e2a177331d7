"""Settings of log stores: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from configbuild.cli.documents import InputError
from configbuild.cli.environment import load_settings
from configbuild.valkey_address import ValkeyAddress
from configbuild.valkey_store import make_valkey_store

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_STORE", "VALKEY_URL", "VALKEY_PASSWORD_FILE", "VALKEY_CA_FILE"):
        monkeypatch.delenv(f"ADE_{name}", raising=False)


def test_config_maps_are_the_default() -> None:
    assert load_settings().log_store == "configmap"


def test_valkey_wants_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADE_LOG_STORE", "valkey")
    with pytest.raises(InputError, match="set ADE_VALKEY_URL"):
        load_settings()
    monkeypatch.setenv("ADE_VALKEY_URL", "valkey://127.0.0.1")
    assert make_valkey_store(load_settings()) is not None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"valkey://:{SECRET}@host", "ADE_VALKEY_PASSWORD_FILE"),
        (f"valkeys://user:{SECRET}@host", "ADE_VALKEY_PASSWORD_FILE"),
        (f"valkey://:{SECRET}/more@host", "the port is no number"),
        (f"valkey://:@host?password={SECRET}", "ADE_VALKEY_PASSWORD_FILE"),
        (f"valkey://host?password={SECRET}", "a port and a database's number only"),
        (f"redis://{SECRET}", "expected valkey://"),
        ("valkey://", "names no host"),
        ("valkey://host:70000", "the port is no number"),
        ("valkey://host/x", "a port and a database's number only"),
        (f"valkey://[{SECRET}", "no URL"),
    ],
    ids=[
        *("password", "user and password", "half a password", "empty password", "query"),
        *("other scheme", "no host", "port", "database", "no URL"),
    ],
)
def test_a_url_that_is_no_good_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, url: str, problem: str
) -> None:
    monkeypatch.setenv("ADE_VALKEY_URL", url)
    with pytest.raises(InputError, match=r"^ADE_VALKEY_URL: ") as caught:
        load_settings()
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_authority_is_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADE_VALKEY_CA_FILE", "/tls/ca.crt")
    monkeypatch.setenv("ADE_VALKEY_URL", "valkey://host")
    with pytest.raises(InputError, match="valkeys://"):
        load_settings()
    monkeypatch.setenv("ADE_VALKEY_URL", "valkeys://host")
    assert load_settings().valkey_ca_file == Path("/tls/ca.crt")


def test_a_url_says_where_and_how() -> None:
    assert ValkeyAddress.parse("valkeys://logs@[::1]:7000/3") == ValkeyAddress(
        host="::1", port=7000, database=3, tls=True, user="logs"
    )
    assert str(ValkeyAddress.parse("valkey://host")) == "host:6379"
    assert str(ValkeyAddress.parse("valkey://[::1]")) == "[::1]:6379"
