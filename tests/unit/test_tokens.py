"""Annotations that ask for one-off acts: what a token is, and that each is due once."""

from __future__ import annotations

import pytest

from configbuild.builds.tokens import Handled, TokenKind, read_tokens
from configbuild.model import BuildId

BUILD = BuildId.parse("build_01JB2Z5V7T3QK8M4N6P9R00000")


@pytest.mark.parametrize("token", ["1", "2026-11-24T07:00:00Z", "a" * 63, "by.ann_1+2"])
def test_short_text_is_a_token(token: str) -> None:
    tokens = read_tokens({"ade.dev/force": token, "other/force": "x"})
    assert tokens.values == {TokenKind.FORCE: token}
    assert not tokens.faults


@pytest.mark.parametrize("token", ["", " ", "a" * 64, "a b", "-a", "a\n", "ä", "{}"])
def test_what_is_no_token_is_named_with_what_was_expected(token: str) -> None:
    tokens = read_tokens({"ade.dev/cancel": token})
    assert not tokens.values
    assert tokens.faults[TokenKind.CANCEL].startswith("ade.dev/cancel: ")
    assert "expected 1 to 63 letters" in tokens.faults[TokenKind.CANCEL]


@pytest.mark.parametrize("token", ["now", "build_1", BUILD.lower(), BUILD.ulid])
def test_only_a_build_id_activates(token: str) -> None:
    assert read_tokens({"ade.dev/activate": BUILD}).values == {TokenKind.ACTIVATE: BUILD}
    tokens = read_tokens({"ade.dev/activate": token})
    assert "expected build_ and a ULID" in tokens.faults[TokenKind.ACTIVATE]


def test_token_is_due_until_it_was_handled_and_another_is_due_again() -> None:
    handled = {TokenKind.FORCE: Handled(token="1", generation=1)}
    assert read_tokens({"ade.dev/force": "1"}).due({}) == {TokenKind.FORCE: "1"}
    assert read_tokens({"ade.dev/force": "1"}).due(handled) == {}
    assert read_tokens({"ade.dev/force": "2"}).due(handled) == {TokenKind.FORCE: "2"}
    assert read_tokens({}).due(handled) == {}
