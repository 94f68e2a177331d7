"""Many ConfigBuilds at rest, for the price of one build.

The objects, their statuses, journals and venvs are what a real build leaves: one is built by the
real operator, and the others are made from it on disk and in the API (a venv is a copy of the
receipt and a link to the interpreter).
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

from configbuild.kube.client import Cluster
from configbuild.kube.connection import load_connection
from configbuild.kube.rest import Rest
from configbuild.model import BuildId
from tests.cluster.operation import Operator

# As many requests as one API server answers at once without making others wait.
_AT_ONCE = 16

_ALL = "/apis/ade.dev/v1alpha1/namespaces/{namespace}/configbuilds"


def multiply(operator: Operator, model: dict[str, Any], names: list[str]) -> None:
    """Make an object of each name, like ``model`` (Ready, of an operator that is stopped)."""
    asyncio.run(_multiply(operator, model, names))


async def _multiply(operator: Operator, model: dict[str, Any], names: list[str]) -> None:
    with mock.patch.dict(os.environ, KUBECONFIG=str(operator.cluster.kubeconfig)):
        connection = await load_connection()
    async with Cluster(connection) as cluster:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with limit:
                await _make(cluster.rest, operator, model, name)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))


async def _make(rest: Rest, operator: Operator, model: dict[str, Any], name: str) -> None:
    where = {"namespace": operator.namespace, "name": name}
    body = {
        "apiVersion": "ade.dev/v1alpha1",
        "kind": "ConfigBuild",
        "metadata": {"name": name},
        "spec": model["spec"],
    }
    created = await rest.post(_ALL, where, body)
    build_id = BuildId.new()
    _make_venv(operator, model, name, build_id, created["metadata"]["uid"])
    status = json.loads(
        json.dumps(model["status"]).replace(model["status"]["build"]["id"], build_id)
    )
    status["active"]["venvPath"] = str(operator.venvs / name / build_id.ulid)
    await rest.merge_patch(f"{_ALL}/{{name}}/status", where, {"status": status})


def _make_venv(
    operator: Operator, model: dict[str, Any], name: str, build_id: BuildId, uid: str
) -> None:
    original = Path(model["status"]["active"]["venvPath"])
    venv = operator.venvs / name / build_id.ulid
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(os.path.realpath(original / "bin" / "python"))
    (venv / "ade-runtime").mkdir()
    receipt = copy.deepcopy(json.loads((original / "ade-runtime" / "build.json").read_text()))
    receipt.update(build_id=build_id, uid=uid, config_id=name)
    (venv / "ade-runtime" / "build.json").write_text(json.dumps(receipt))
    journal = operator.logs / f"{BuildId(model['status']['build']['id']).ulid}.ndjson"
    (operator.logs / f"{build_id.ulid}.ndjson").write_text(
        journal.read_text().replace(model["status"]["build"]["id"], build_id)
    )
