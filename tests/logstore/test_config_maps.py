"""Logs in ConfigMaps: what only this store has, as a real API server takes it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from configbuild.kube.connection import Connection
from configbuild.kube.log_maps import LogMaps
from configbuild.kube.rest import Rest
from configbuild.logstore import LogOwner, LogStore, LogStoreError
from configbuild.logstore.chunks import LIMIT_BYTES
from configbuild.logstore.config_maps import DATA_KEY
from tests.cluster.controlplane import KubectlError, wait_until
from tests.process.support import in_loop
from tests.waits import PATIENCE_S

from .logs import assert_every_id_is_told_of_once, behind, events_of, gaps_of, whole_log
from .proxy import proxy_before
from .sites import ConfigMapSite, copied, read_all
from .test_contract import SEVERAL_PARTS, TOO_MANY

# Of the text of a ConfigMap, by the API server (Kubernetes: ConfigMap, binaryData and data).
MAX_BYTES = 1024 * 1024


def data_of(found: dict[str, Any]) -> bytes:
    return base64.b64decode(found["binaryData"][DATA_KEY])


@in_loop
async def test_config_maps_are_whole_gzip_files_within_the_limit(
    config_maps: ConfigMapSite,
) -> None:
    owner = config_maps.owner()
    async with config_maps.opened() as store:
        stored = await copied(store, owner, whole_log(owner.build_id, TOO_MANY, noise=True))
        found = config_maps.config_maps(owner)
        read = await read_all(store, owner, stored)
    assert len(found) == len(stored.chunks) > 3
    assert sum(len(data_of(each)) for each in found) <= LIMIT_BYTES
    by_name = {each["metadata"]["name"]: data_of(each) for each in found}
    for data in by_name.values():
        assert len(base64.b64encode(data)) <= MAX_BYTES
        await asyncio.to_thread(subprocess.run, ["gzip", "-t"], input=data, check=True)
    # As somebody reads them with kubectl and gunzip: all files after one another are one.
    together = b"".join(by_name[chunk.name] for chunk in stored.chunks)
    assert gzip.decompress(together) == read


@in_loop
async def test_config_maps_belong_to_the_config_and_tell_which_build(
    config_maps: ConfigMapSite,
) -> None:
    owner = config_maps.owner()
    async with config_maps.opened() as store:
        stored = await copied(store, owner, whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
    chunks = {chunk.name: chunk for chunk in stored.chunks}
    for found in config_maps.config_maps(owner):
        metadata = found["metadata"]
        assert metadata["labels"] == {
            "ade.dev/build-id": owner.build_id,
            "app.kubernetes.io/managed-by": "configbuild-operator",
        }
        (reference,) = metadata["ownerReferences"]
        assert (reference["kind"], reference["uid"]) == ("ConfigBuild", owner.uid)
        chunk = chunks.pop(metadata["name"])
        assert metadata["uid"] == chunk.uid
        assert hashlib.sha256(data_of(found)).hexdigest() == chunk.sha256
    assert not chunks


@in_loop
async def test_config_maps_go_with_the_config(config_maps: ConfigMapSite) -> None:
    owner = config_maps.owner()
    async with config_maps.opened() as store:
        await copied(store, owner, whole_log(owner.build_id, 10))
    assert config_maps.config_maps(owner)
    config_maps.kubectl("delete", "configbuild", owner.key.name)
    wait_until(
        lambda: not config_maps.config_maps(owner),
        what="the ConfigMaps are collected",
        timeout_s=PATIENCE_S,
    )


@in_loop
async def test_full_config_maps_are_immutable_and_all_are_once_sealed(
    config_maps: ConfigMapSite,
) -> None:
    owner = config_maps.owner()
    async with config_maps.opened() as store:
        copy = store.begin(owner)
        for batch in whole_log(owner.build_id, SEVERAL_PARTS, noise=True):
            await copy.write(batch)
        await copy.flush()
        *full, opened = sorted(
            config_maps.config_maps(owner), key=lambda found: str(found["metadata"]["name"])
        )
        assert full
        assert all(found["immutable"] for found in full)
        assert "immutable" not in opened
        await copy.seal()
    assert all(found["immutable"] for found in config_maps.config_maps(owner))
    name = opened["metadata"]["name"]
    with pytest.raises(KubectlError, match="immutable"):
        config_maps.kubectl("patch", "configmap", name, "-p", '{"data": {"more": "lines"}}')


@pytest.mark.parametrize("how", ["another of its name", "other data"])
@in_loop
async def test_forged_chunk_counts_for_nothing(config_maps: ConfigMapSite, how: str) -> None:
    owner = config_maps.owner()
    log = b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
    async with config_maps.opened() as store:
        copy = store.begin(owner)
        await copy.write(log)
        stored = await copy.flush()
        assert await read_all(store, owner, stored) == log
        # The same lines, which is what a forger would begin with: the uid tells it apart.
        chunk = stored.chunks[1] if how == "another of its name" else stored.chunks[-1]
        forge(config_maps, chunk.name, replaced=how == "another of its name")
        read = await read_all(store, owner, stored)
    assert b"forged" not in read
    kept = events_of(read)
    if how == "another of its name":
        assert_every_id_is_told_of_once(kept, last_id=log.count(b"\n"))
        assert len(gaps_of(kept)) == 1
    else:
        assert read
        assert log.startswith(read)


def forge(site: ConfigMapSite, name: str, *, replaced: bool) -> None:
    found = site.config_map(name)
    if replaced:
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            del found["metadata"][field]
        site.kubectl("delete", "configmap", name)
        site.kubectl("create", "-f", "-", body=found)
    else:
        lines = gzip.decompress(data_of(found)).replace(b'"message":"', b'"message":"forged ')
        found["binaryData"][DATA_KEY] = base64.b64encode(gzip.compress(lines)).decode()
        site.kubectl("replace", "-f", "-", body=found)


@in_loop
async def test_a_chunk_that_somebody_removed_is_written_again(config_maps: ConfigMapSite) -> None:
    owner = config_maps.owner()
    batches = list(whole_log(owner.build_id, 600))
    async with config_maps.opened() as store:
        copy = store.begin(owner)
        await copy.write(batches[0])
        (chunk,) = (await copy.flush()).chunks
        config_maps.kubectl("delete", "configmap", chunk.name)
        for batch in batches[1:]:
            await copy.write(batch)
        stored = await copy.seal()
        assert await read_all(store, owner, stored) == b"".join(batches)


@in_loop
async def test_an_exceeded_quota_is_told_and_lasts(config_maps: ConfigMapSite) -> None:
    config_maps.kubectl("create", "quota", "few", "--hard=count/configmaps=1")
    wait_until(
        lambda: (
            "count/configmaps"
            in config_maps.kubectl("get", "quota", "few", "-o", "yaml").partition("status:")[2]
        ),
        what="the quota holds",
        timeout_s=PATIENCE_S,
    )
    owner = config_maps.owner()
    async with config_maps.opened() as store:
        copy = store.begin(owner)
        await copy.write(b"".join(whole_log(owner.build_id, 10)))
        with pytest.raises(LogStoreError, match=r"403 Forbidden.*exceeded quota: few") as caught:
            await copy.seal()
        assert caught.value.lasting
        stored = copy.stored(caught.value.message)
        assert not stored.complete
        assert not stored.chunks


@asynccontextmanager
async def answering(
    site: ConfigMapSite, statuses: Sequence[int]
) -> AsyncIterator[tuple[LogStore, list[int]]]:
    """Open the store by a proxy that gives these answers to the first writes, then the server's."""
    left = list(statuses)
    async with site.opened_rest() as rest:

        async def answer(request: web.Request) -> web.Response:
            if request.method in ("POST", "PATCH") and left:
                return web.json_response({"reason": "Trouble"}, status=left.pop(0))
            body = await request.json() if request.can_read_body else None
            kind = request.headers.get("Content-Type")
            query = dict(request.query)
            found = await rest._ask(request.method, request.path, {}, query, body, kind)
            return web.json_response(found)

        app = web.Application(client_max_size=4 * MAX_BYTES)
        app.router.add_route("*", "/{rest:.*}", answer)
        async with TestServer(app) as server:
            info = kopf.ConnectionInfo(server=str(server.make_url("")).rstrip("/"))
            asking = Rest(Connection(info))
            try:
                yield LogMaps(asking), left
            finally:
                await asking.close()


@pytest.mark.parametrize("status", [429, 500, 503, 504])
@in_loop
async def test_an_api_server_in_trouble_is_asked_again(
    config_maps: ConfigMapSite, status: int
) -> None:
    owner = config_maps.owner()
    batches = list(whole_log(owner.build_id, 500))
    async with answering(config_maps, [status, status]) as (store, left):
        copy = store.begin(owner)
        for batch in batches:
            await copy.write(batch)
        for _ in range(2):
            with pytest.raises(LogStoreError, match=str(status)) as caught:
                await copy.seal()
            assert not caught.value.lasting
        assert not left
        stored = await copy.seal()
        log = b"".join(batches)
        assert await read_all(store, owner, stored) == log
        assert await read_all(store, owner, stored, 100) == behind(log, 100)


@in_loop
async def test_what_was_dropped_before_it_was_confirmed_is_removed_as_well(
    config_maps: ConfigMapSite,
) -> None:
    owner: LogOwner = config_maps.owner()
    batches = list(whole_log(owner.build_id, TOO_MANY, noise=True))
    a_third, a_half = len(batches) // 3, len(batches) // 2
    async with proxy_before(config_maps.port) as proxy, config_maps.opened(proxy.port) as store:
        copy = store.begin(owner)
        for batch in batches[:a_third]:
            await copy.write(batch)
        await copy.flush()
        for batch in batches[a_third:a_half]:
            await copy.write(batch)
        # The first that is sent is one that there was; the answer to a new one is lost.
        proxy.lose_next_answer(skip=1)
        with pytest.raises(LogStoreError):
            await copy.flush()
        listed = {chunk.name for chunk in copy.stored().chunks}
        there = {found["metadata"]["name"] for found in config_maps.config_maps(owner)}
        (unconfirmed,) = there - listed
        for batch in batches[a_half:]:
            await copy.write(batch)
        stored = await copy.seal()
        names = {found["metadata"]["name"] for found in config_maps.config_maps(owner)}
        assert unconfirmed not in names
        assert names == {chunk.name for chunk in stored.chunks}
