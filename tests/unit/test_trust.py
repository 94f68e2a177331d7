"""Whom clients are to trust: published, put right, and not written without need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from configbuild.kube import trust
from configbuild.kube.rest import ApiError, NotFoundError, Rest
from configbuild.kube.trust import OwnNamespaceError, Trust, own_namespace
from tests.process.support import in_loop


class Server(Rest):
    """Holds one ConfigMap, or none, and takes down what is written."""

    def __init__(self, data: dict[str, str] | None = None, failure: Exception | None = None):
        self.data = data
        self.failure = failure
        self.writes: list[str] = []

    async def get(
        self, path: str, variables: Mapping[str, str], query: Mapping[str, str] | None = None
    ) -> Any:
        if self.failure:
            raise self.failure
        assert dict(variables) == {"namespace": "team-a", "name": "configbuild-ca"}
        if self.data is None:
            raise NotFoundError(404)
        return {"data": self.data}

    async def post(
        self,
        path: str,
        variables: Mapping[str, str],
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> Any:
        self.writes.append("create")
        self.data = dict(body["data"])

    async def merge_patch(
        self,
        path: str,
        variables: Mapping[str, str],
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> Any:
        self.writes.append("patch")
        assert self.data is not None
        self.data |= body["data"]


@in_loop
async def test_authority_is_written_once_and_put_right_where_somebody_changed_it() -> None:
    server = Server()
    published = Trust(server, "team-a", b"mine")
    for writes in (["create"], ["create"]):
        assert await published.publish()
        assert server.writes == writes
    server.data = {"ca.crt": "other", "note": "of somebody"}
    assert await published.publish()
    assert server.data == {"ca.crt": "mine", "note": "of somebody"}
    assert server.writes == ["create", "patch"]


@in_loop
async def test_api_server_that_refuses_or_is_away_is_told_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for failure in (ApiError(403, "Forbidden"), ConnectionResetError()):
        assert not await Trust(Server(failure=failure), "team-a", b"mine").publish()
    assert "configbuild-ca not written: 403 Forbidden" in caplog.text


def test_own_namespace_is_what_is_set_or_that_of_the_service_account(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "namespace"
    monkeypatch.setattr(trust, "_NAMESPACE_FILE", file)
    with pytest.raises(OwnNamespaceError, match="ADE_POD_NAMESPACE"):
        own_namespace(None)
    file.write_text("team-a\n")
    assert own_namespace(None) == "team-a"
    assert own_namespace("team-b") == "team-b"
