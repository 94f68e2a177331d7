"""What the reconciler makes of an object that it is shown: a look, a comparison, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from configbuild.builds.service import Builds
from configbuild.kube.client import Cluster
from configbuild.kube.reconciler import Reconciler
from configbuild.model import ConfigKey

KEY = ConfigKey("team-a", "invoices")


class NotedBuilds:
    """Notes which states were asked for, as each comparison of a status begins with that."""

    def __init__(self) -> None:
        self.compared: list[ConfigKey] = []

    def state(self, key: ConfigKey) -> None:
        self.compared.append(key)


def body(version: int, **fields: Any) -> dict[str, Any]:
    metadata = {"namespace": KEY.namespace, "name": KEY.name, "uid": "uid-1", "generation": 1}
    return {"metadata": {**metadata, "resourceVersion": str(version)}, "spec": {}, **fields}


@pytest.mark.parametrize(
    ("second", "compared"),
    [
        pytest.param(body(1), [], id="the same version"),
        pytest.param(body(2, status={"phase": "Failed"}), [KEY], id="a status that was edited"),
    ],
)
def test_status_is_compared_where_a_version_is_new(
    second: dict[str, Any], compared: list[ConfigKey]
) -> None:
    async def main() -> None:
        reconciler = Reconciler(cluster=cast("Cluster", None), namespaces=[KEY.namespace])
        builds = NotedBuilds()
        reconciler.builds = cast("Builds", builds)
        reconciler.observe(body(1))
        reconciler.observe(second)
        assert builds.compared == compared

    asyncio.run(main())
