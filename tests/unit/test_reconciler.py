"""What the reconciler makes of an object that it is shown: a look, a comparison, or nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, cast

import pytest

from configbuild.builds.service import Builds
from configbuild.builds.state import ConfigState, Problem
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


class MovedOnCluster:
    """Refuses the first status that is written, since the object has moved on by an edit."""

    def __init__(self, moved_on: dict[str, Any]) -> None:
        self.moved_on = moved_on
        self.written: list[str] = []

    async def patch_status(
        self, key: ConfigKey, patch: dict[str, Any], *, resource_version: str
    ) -> dict[str, Any] | None:
        self.written.append(resource_version)
        current = resource_version == self.moved_on["metadata"]["resourceVersion"]
        return {**body(3), "status": patch} if current else None

    async def get_configbuild(self, key: ConfigKey) -> dict[str, Any]:
        return self.moved_on

    async def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        pass


class LookedAtBuilds:
    """Notes which objects are looked at."""

    def __init__(self) -> None:
        self.looks: asyncio.Queue[ConfigKey] = asyncio.Queue()
        problem = Problem(reason="SourceNotFound", message="none", stalled=True)
        self._state = ConfigState(key=KEY, uid="uid-1", problem=problem)

    async def ensure(self, key: ConfigKey) -> None:
        self.looks.put_nowait(key)

    def state(self, key: ConfigKey) -> ConfigState:
        return self._state

    def due(self, now: datetime) -> list[ConfigKey]:
        return []


def test_edit_that_is_learned_of_by_a_refused_status_is_looked_at() -> None:
    moved_on = body(2)
    moved_on["metadata"]["annotations"] = {"ade.dev/request": "token"}

    async def main() -> None:
        cluster, builds = MovedOnCluster(moved_on), LookedAtBuilds()
        reconciler = Reconciler(cluster=cast("Cluster", cluster), namespaces=[KEY.namespace])
        reconciler.builds = cast("Builds", builds)
        reconciler.observe(body(1))
        running = asyncio.create_task(reconciler.run())
        async with asyncio.timeout(30):
            await builds.looks.get()
            reconciler.changed(KEY)
            await builds.looks.get()
        # What the watch tells later is no news any more.
        reconciler.observe(moved_on)
        assert builds.looks.empty()
        assert cluster.written[0] == "1"
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(main())
