"""What may be fetched from: public addresses, and what the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from configbuild.errors import SourceError
from configbuild.sources.hosts import Admitted, HostError, HostRules, is_public, look_up
from configbuild.urls import HttpsUrl, parse_patterns

PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


def rules(*answers: str, allowed: str = "") -> HostRules:
    async def answer(host: str, port: int) -> Sequence[str]:
        return answers

    return HostRules(allowed=parse_patterns(allowed), look_up=answer)


def admit(made: HostRules, url: str = "https://git.example/x") -> Admitted:
    return asyncio.run(made.admit(url, "spec.config.git.url"))


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_6])
def test_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.8.8.8", id="loopback further on"),
        pytest.param("::1", id="loopback IPv6"),
        pytest.param("0.0.0.0", id="this host"),
        pytest.param("::", id="this host IPv6"),
        pytest.param("10.0.0.1", id="private 10"),
        pytest.param("172.16.0.1", id="private 172"),
        pytest.param("192.168.0.1", id="private 192"),
        pytest.param("169.254.169.254", id="metadata service"),
        pytest.param("fe80::1", id="link-local IPv6"),
        pytest.param("fe80::1%eth0", id="link-local with a scope"),
        pytest.param("fd00:ec2::254", id="metadata service IPv6"),
        pytest.param("100.64.0.1", id="carrier-grade NAT"),
        pytest.param("192.0.0.1", id="protocol assignments"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarks"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("239.1.1.1", id="multicast of a site"),
        pytest.param("ff0e::1", id="multicast IPv6"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("192.88.99.1", id="6to4 relay"),
        pytest.param("::ffff:127.0.0.1", id="IPv4-mapped loopback"),
        pytest.param(f"::ffff:{PUBLIC}", id="IPv4-mapped public"),
        pytest.param("::127.0.0.1", id="IPv4-compatible"),
        pytest.param("64:ff9b::7f00:1", id="NAT64"),
        pytest.param("64:ff9b:1::7f00:1", id="NAT64 of a site"),
        pytest.param("2002:7f00:1::", id="6to4"),
        pytest.param("2001::1", id="Teredo"),
        pytest.param("fec0::1", id="site-local"),
        pytest.param("git.example", id="no address"),
    ],
)
def test_address_that_is_nearer_or_leads_elsewhere_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_public_host_is_admitted_with_all_its_addresses() -> None:
    assert admit(rules(PUBLIC, PUBLIC_6)) == Admitted(
        url=HttpsUrl.parse("https://git.example/x"),
        addresses=(PUBLIC, PUBLIC_6),
    )


@pytest.mark.parametrize("answers", [("10.0.0.1",), (PUBLIC, "10.0.0.1"), ("::1", PUBLIC), ()])
def test_host_with_any_other_address_is_refused_unless_the_settings_name_it(
    answers: tuple[str, ...],
) -> None:
    with pytest.raises(HostError, match=r"git\.example .* ADE_ALLOWED_HOSTS") as caught:
        admit(rules(*answers))
    assert (caught.value.reason, caught.value.missing) == ("HostNotAllowed", True)
    assert all(address not in caught.value.message for address in answers)

    assert admit(rules(*answers, allowed="git.example")).addresses == answers
    assert admit(rules(*answers, allowed="other, .example")).addresses == answers


@pytest.mark.parametrize("allowed", ["git.example:8443", ".git.example", "example"])
def test_pattern_that_names_something_else_does_not_help(allowed: str) -> None:
    with pytest.raises(HostError):
        admit(rules("10.0.0.1", allowed=allowed))


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost"])
def test_loopback_is_recognised_however_it_is_written(host: str) -> None:
    with pytest.raises(HostError):
        admit(HostRules(), f"https://{host}/x")


def test_host_that_does_not_resolve_is_worth_another_try() -> None:
    async def fail(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    made = HostRules(look_up=fail)
    with pytest.raises(SourceError, match="cannot be resolved: Name or service") as caught:
        admit(made)
    assert caught.value.reason == "SourceUnavailable"
    asyncio.run(made.refuse_early("https://git.example/x", "spec.config.git.url"))


def test_url_that_could_be_read_in_two_ways_is_refused_before_it_is_looked_up() -> None:
    with pytest.raises(HostError, match="plain https"):
        admit(rules(PUBLIC), "https://git.example\\@10.0.0.1/")


def test_system_is_asked_for_addresses() -> None:
    assert set(asyncio.run(look_up("localhost", 443))) <= {"127.0.0.1", "::1"}
