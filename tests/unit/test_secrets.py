"""Credentials out of Secrets: whom they are for, and where they do not stand."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

import pytest

from configbuild.errors import ClusterError, SourceError
from configbuild.sources import NoSecrets, SecretContent
from configbuild.sources.secrets import Credentials, read_credentials
from configbuild.urls import HttpsUrl

FIELD = "spec.config.git.secretRef"
LOGIN = {"username": b"robot", "password": b"s3cr:t/4711"}


class OneSecret:
    def __init__(self, data: Mapping[str, bytes], annotation: str | None = "git.example") -> None:
        self.content = SecretContent(
            data=data,
            annotations={} if annotation is None else {"ade.dev/allowed-hosts": annotation},
        )

    async def secret(self, namespace: str, name: str) -> SecretContent | None:
        return self.content if (namespace, name) == ("team-a", "login") else None


def read(secret: OneSecret, namespace: str = "team-a") -> Credentials:
    return asyncio.run(read_credentials(secret, namespace, "login", FIELD))


def test_user_and_password_are_sent_as_basic_authentication() -> None:
    found = read(OneSecret(LOGIN))

    assert found.authorization == f"Basic {base64.b64encode(b'robot:s3cr:t/4711').decode()}"


def test_token_is_sent_as_it_is() -> None:
    assert read(OneSecret({"token": b"abc"})).authorization == "Bearer abc"


def test_authority_alone_sends_nothing() -> None:
    found = read(OneSecret({"ca.crt": b"PEM"}))

    assert (found.authorization, found.ca, found.values) == (None, b"PEM", ())


def test_newline_at_the_end_is_not_part_of_a_value() -> None:
    assert read(OneSecret({"username": b"robot\n", "password": b"x\r\n"})).password == "x"


def test_every_form_in_which_a_password_may_show_is_known() -> None:
    assert set(read(OneSecret(LOGIN)).values) == {
        b"s3cr:t/4711",
        b"s3cr%3At%2F4711",
        base64.b64encode(b"robot:s3cr:t/4711"),
    }


@pytest.mark.parametrize(
    ("annotation", "url", "allowed"),
    [
        ("git.example", "https://git.example/x", True),
        ("other.example, git.example", "https://git.example/x", True),
        (".example", "https://git.example/x", True),
        ("git.example:8443", "https://git.example:8443/x", True),
        ("git.example", "https://git.example:8443/x", False),
        ("git.example", "https://git.example.evil/x", False),
        ("other.example", "https://git.example/x", False),
        ("", "https://git.example/x", False),
        (None, "https://git.example/x", False),
    ],
)
def test_secret_is_for_the_hosts_that_its_annotation_names_and_no_other(
    annotation: str | None, url: str, *, allowed: bool
) -> None:
    found = read(OneSecret(LOGIN, annotation))

    assert found.allows(HttpsUrl.parse(url)) is allowed
    if not allowed:
        with pytest.raises(SourceError, match=r"its annotation ade\.dev/allowed-hosts") as caught:
            found.require(HttpsUrl.parse(url), FIELD)
        assert (caught.value.reason, caught.value.missing) == ("SecretNotAllowed", True)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param({}, "has none of", id="nothing"),
        pytest.param({"username": b"a"}, "only one of username and password", id="no password"),
        pytest.param({"password": b"a-4711"}, "only one of", id="no username"),
        pytest.param({**LOGIN, "token": b"a-4711"}, "both a token and a password", id="both"),
        pytest.param({"token": b"\xff4711"}, "not UTF-8", id="bytes"),
        pytest.param({"token": b""}, "empty", id="empty"),
        pytest.param({"token": b"a\nX-Evil: 4711"}, "control character", id="second header"),
        pytest.param({"username": b"a:b", "password": b"4711"}, "a colon", id="colon"),
    ],
)
def test_secret_that_cannot_be_used_is_told_without_its_values(
    data: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(SourceError, match=problem) as caught:
        read(OneSecret(data))

    assert (caught.value.reason, caught.value.field) == ("SecretInvalid", FIELD)
    assert "4711" not in caught.value.message


def test_annotation_that_is_no_list_of_hosts_is_told() -> None:
    with pytest.raises(SourceError, match=r"wrong annotation .*'\*' is no host"):
        read(OneSecret(LOGIN, "*"))


def test_missing_secret_is_told_by_name_and_namespace() -> None:
    with pytest.raises(SourceError, match="no Secret 'login' in namespace 'team-b'") as caught:
        read(OneSecret(LOGIN), namespace="team-b")

    assert (caught.value.reason, caught.value.missing) == ("SecretNotFound", True)


def test_place_without_secrets_has_none() -> None:
    with pytest.raises(SourceError) as caught:
        asyncio.run(read_credentials(NoSecrets(), "team-a", "login", FIELD))

    assert caught.value.reason == "SecretNotFound"


def test_secret_that_cannot_be_read_now_is_worth_another_try() -> None:
    class Away:
        async def secret(self, namespace: str, name: str) -> SecretContent | None:
            raise ClusterError("away")

    with pytest.raises(SourceError, match="away") as caught:
        asyncio.run(read_credentials(Away(), "team-a", "login", FIELD))

    assert caught.value.reason == "SourceUnavailable"


def test_values_stand_in_no_representation() -> None:
    secret = OneSecret({**LOGIN, "ca.crt": b"PEM"})

    assert "4711" not in repr(secret.content) + repr(read(secret)) + str(read(secret))
