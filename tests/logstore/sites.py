"""The stores that the contract is held against, each with a real server behind it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from unittest import mock

import valkey

from configbuild.kube.connection import Connection, load_connection
from configbuild.kube.log_maps import LogMaps
from configbuild.kube.rest import Rest
from configbuild.logstore import LogOwner, LogStore, StoredLog
from configbuild.logstore.chunks import LIMIT_BYTES
from configbuild.model import BuildId, ConfigKey
from configbuild.valkey_address import ValkeyAddress
from configbuild.valkey_store import ValkeyLogs
from tests.cluster.controlplane import Cluster

from .valkey_server import PASSWORD, ValkeyServer

KEEP_S = 3600


class Site(Protocol):
    """A kind of store, its server, and a look at what the server has."""

    @property
    def port(self) -> int:
        """Where its server listens."""

    def owner(self) -> LogOwner:
        """Make up a build of a config that there is."""

    def opened(self, port: int | None = None) -> AbstractAsyncContextManager[LogStore]:
        """Open the store, by another port than its server's if one is given."""

    def contents(self, owner: LogOwner) -> Mapping[str, Any]:
        """Tell all that the server has of a build, so that any change of it shows."""

    def lose_a_part(self, owner: LogOwner, stored: StoredLog) -> None:
        """Remove something of a log that is neither at its beginning nor at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapSite:
    """ConfigMaps, by an API server; owned by a ConfigBuild, or they would be collected."""

    cluster: Cluster
    namespace: str
    uid: str

    @classmethod
    def of(cls, cluster: Cluster, namespace: str) -> ConfigMapSite:
        body = {
            "apiVersion": "ade.dev/v1alpha1",
            "kind": "ConfigBuild",
            "metadata": {"name": "invoices", "namespace": namespace},
            "spec": {"config": {"requirement": "ade-config==1.0"}},
        }
        uid = ("-o", "jsonpath={.metadata.uid}")
        made = cluster.kubectl("apply", *uid, "-f", "-", stdin=json.dumps(body))
        return cls(cluster=cluster, namespace=namespace, uid=made.stdout)

    @property
    def port(self) -> int:
        return int(self.cluster.url.rsplit(":", 1)[1])

    def owner(self) -> LogOwner:
        key = ConfigKey(namespace=self.namespace, name="invoices")
        return LogOwner(key=key, uid=self.uid, build_id=BuildId.new())

    @asynccontextmanager
    async def opened(self, port: int | None = None) -> AsyncIterator[LogStore]:
        async with self.opened_rest(port) as rest:
            yield LogMaps(rest)

    @asynccontextmanager
    async def opened_rest(self, port: int | None = None) -> AsyncIterator[Rest]:
        """Open connections to the API server, as its administrator."""
        with mock.patch.dict(os.environ, KUBECONFIG=str(self.cluster.kubeconfig)):
            info = (await load_connection()).info
        server = f"https://127.0.0.1:{port or self.port}"
        rest = Rest(Connection(dataclasses.replace(info, server=server)))
        try:
            yield rest
        finally:
            await rest.close()

    def contents(self, owner: LogOwner) -> Mapping[str, Any]:
        return {found["metadata"]["name"]: found for found in self.config_maps(owner)}

    def lose_a_part(self, owner: LogOwner, stored: StoredLog) -> None:
        self.kubectl("delete", "configmap", stored.chunks[len(stored.chunks) // 2].name)

    def config_maps(self, owner: LogOwner) -> list[dict[str, Any]]:
        """Read the ConfigMaps that wear a build's id."""
        label = f"ade.dev/build-id={owner.build_id}"
        found = self.kubectl("get", "configmaps", "-l", label, "-o", "json")
        items: list[dict[str, Any]] = json.loads(found)["items"]
        return items

    def config_map(self, name: str) -> dict[str, Any]:
        """Read one ConfigMap."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "configmap", name, "-o", "json"))
        return found

    def kubectl(self, *arguments: str, body: Mapping[str, Any] | None = None) -> str:
        stdin = json.dumps(body) if body is not None else ""
        return self.cluster.kubectl(*arguments, "-n", self.namespace, stdin=stdin).stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeySite:
    """Streams, by a Valkey server."""

    server: ValkeyServer
    limit_bytes: int = LIMIT_BYTES

    @property
    def port(self) -> int:
        return self.server.port

    def owner(self) -> LogOwner:
        key = ConfigKey(namespace="team-a", name="invoices")
        return LogOwner(key=key, uid="", build_id=BuildId.new())

    @asynccontextmanager
    async def opened(self, port: int | None = None) -> AsyncIterator[LogStore]:
        store = ValkeyLogs(
            ValkeyAddress.parse(f"valkey://127.0.0.1:{port or self.port}"),
            password_file=self.server.password_file,
            limit_bytes=self.limit_bytes,
            keep_s=KEEP_S,
        )
        try:
            yield store
        finally:
            await store.close()

    def contents(self, owner: LogOwner) -> Mapping[str, Any]:
        with self.client() as client:
            names = client.keys(f"*{owner.build_id}*")
            return {name.decode(): self.content(client, name.decode()) for name in names}

    def content(self, client: Any, name: str) -> Any:
        is_stream = client.type(name) == b"stream"
        return client.xrange(name) if is_stream else client.get(name)

    def lose_a_part(self, owner: LogOwner, stored: StoredLog) -> None:
        with self.client() as client:
            stream = stream_of(owner)
            entries = client.xrange(stream)
            client.xdel(stream, entries[len(entries) // 2][0])

    def client(self) -> Any:
        """Give a client of the tests' own."""
        return valkey.Valkey(host="127.0.0.1", port=self.port, password=PASSWORD)


def stream_of(owner: LogOwner) -> str:
    return f"configbuild:log:{owner.build_id}"


async def read_all(store: LogStore, owner: LogOwner, stored: StoredLog, after_id: int = 0) -> bytes:
    """Read what lies behind a cursor; whole lines all the way."""
    blocks = [block async for block in store.read(owner, stored, after_id)]
    assert all(block.endswith(b"\n") for block in blocks)
    return b"".join(blocks)


async def copied(
    store: LogStore, owner: LogOwner, batches: Iterable[bytes], earlier: StoredLog | None = None
) -> StoredLog:
    """Copy a whole log, and seal it."""
    copy = store.begin(owner, earlier)
    for batch in batches:
        await copy.write(batch)
    return await copy.seal()


async def looked_at(site: Site, owner: LogOwner) -> Mapping[str, Any]:
    """Tell what the server has, while an event loop runs."""
    return await asyncio.to_thread(site.contents, owner)
