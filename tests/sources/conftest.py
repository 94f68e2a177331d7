"""Fixtures of tests with a real web server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.site import Site, serving


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site on loopback, whose authority this process trusts."""
    with serving(tmp_path / "site") as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        yield made
