"""URLs that every program reads alike, and patterns of hosts."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.urls import HostPattern, HttpsUrl, parse_patterns
from tests.unit.examples import DETERMINED


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("https://example.com", "example.com", 443),
        ("https://example.com/a/b.zip?x=%20&y=@", "example.com", 443),
        ("https://Git.Example.COM./x", "git.example.com", 443),
        ("https://git.example:8443/x", "git.example", 8443),
        ("https://[2001:DB8::1]:8443/x", "2001:db8::1", 8443),
        ("https://127.0.0.1/x", "127.0.0.1", 443),
    ],
)
def test_plain_url_is_taken_apart(text: str, host: str, port: int) -> None:
    url = HttpsUrl.parse(text)

    assert (url.text, url.host, url.port) == (text, host, port)
    assert HttpsUrl.parse(url.canonical).canonical == url.canonical


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("http://example.com/", id="http"),
        pytest.param("HTTPS://example.com/", id="scheme in capitals"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("git+https://example.com/", id="git"),
        pytest.param("https://user@example.com/", id="user"),
        pytest.param("https://user:password@example.com/", id="password"),
        pytest.param("https://example.com\\@127.0.0.1/", id="backslash"),
        pytest.param("https://example.com/\\..\\x", id="backslash in the path"),
        pytest.param("https://loc%61lhost/", id="escape in the host"),
        pytest.param("https://example.com#@127.0.0.1/", id="fragment"),
        pytest.param("https://example.com/#x", id="fragment after the path"),
        pytest.param("https://example.com?@127.0.0.1/", id="query without a path"),
        pytest.param("https://①②⑦.0.0.1/", id="digits that are folded"),
        pytest.param("https://exämple.com/", id="not ASCII"),
        pytest.param("https://example.com/a b", id="space"),
        pytest.param("https://example.com/\n", id="newline"),
        pytest.param("https://example.com\t/", id="tab in the host"),
        pytest.param("https:///x", id="no host"),
        pytest.param("https://:443/x", id="no host but a port"),
        pytest.param("https://.example.com/", id="dot first"),
        pytest.param("https://-x/", id="dash first"),
        pytest.param("https://example.com:/x", id="empty port"),
        pytest.param("https://example.com:0/x", id="port 0"),
        pytest.param("https://example.com:65536/x", id="port too large"),
        pytest.param("https://example.com:٤٤٣/x", id="port in other digits"),
        pytest.param("https://[::1/x", id="bracket that is not closed"),
        pytest.param("https://[fe80::1%25eth0]/x", id="scope"),
        pytest.param("https://[::ffff:1.2.3.4.5]/x", id="no address in brackets"),
        pytest.param("", id="nothing"),
    ],
)
def test_url_that_could_be_read_in_two_ways_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - whatever it says
        HttpsUrl.parse(text)

    assert "password@" not in str(caught.value)


@DETERMINED
@given(st.text(st.sampled_from("htps:/@\\#?[]%.a1-_:\n "), max_size=20).map("https://".__add__))
def test_url_that_is_taken_means_the_same_host_to_the_standard_library(text: str) -> None:
    try:
        url = HttpsUrl.parse(text)
    except ValueError:
        return
    other = urlsplit(text)
    assert other.username is None
    assert other.hostname is not None
    assert (other.hostname.rstrip("."), other.port or 443) == (url.host, url.port)


@pytest.mark.parametrize(
    ("pattern", "url", "matches"),
    [
        ("git.example", "https://git.example/x", True),
        ("git.example", "https://GIT.example./x", True),
        ("GIT.example", "https://git.example/x", True),
        ("git.example", "https://git.example:443/x", True),
        ("git.example", "https://git.example:8443/x", False),
        ("git.example:8443", "https://git.example:8443/x", True),
        ("git.example:8443", "https://git.example/x", False),
        ("git.example", "https://a.git.example/x", False),
        (".example", "https://git.example/x", True),
        (".example", "https://a.git.example/x", True),
        (".example", "https://example/x", False),
        (".example", "https://evilexample/x", False),
        ("git.example", "https://git.example.evil/x", False),
        ("127.0.0.1:8443", "https://127.0.0.1:8443/", True),
        ("[::1]:8443", "https://[0:0::1]:8443/", True),
    ],
)
def test_pattern_names_hosts_at_one_port(pattern: str, url: str, matches: bool) -> None:
    assert HostPattern.parse(pattern).matches(HttpsUrl.parse(url)) is matches


@pytest.mark.parametrize(
    "text", ["*", "*.example", "https://a", "a/b", "a:b", "a:70000", "[::1", "."]
)
def test_what_is_no_pattern_is_refused_rather_than_never_matched(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        parse_patterns(f"good.example, {text}")


def test_patterns_are_separated_by_commas_or_white_space() -> None:
    assert parse_patterns("a, .b\n c:8443,") == (
        HostPattern(host="a", port=443),
        HostPattern(host="b", port=443, suffix=True),
        HostPattern(host="c", port=8443),
    )
    assert parse_patterns(" ") == ()
