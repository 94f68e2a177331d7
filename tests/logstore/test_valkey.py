"""Logs in a Valkey server: what only this store has, against a real one."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from configbuild.logstore import LogOwner, LogStoreError, StoredLog
from configbuild.valkey_address import ValkeyAddress
from configbuild.valkey_store import FIELD, ValkeyLogs
from configbuild.web.certificates import Authority
from tests.process.support import in_loop

from .logs import assert_every_id_is_told_of_once, behind, events_of, gaps_of, whole_log
from .proxy import proxy_before
from .sites import KEEP_S, ValkeySite, copied, read_all, stream_of
from .test_contract import SEVERAL_PARTS, TOO_MANY
from .valkey_server import PASSWORD, ValkeyServer


@asynccontextmanager
async def opened(
    url: str, *, password_file: Path | None = None, ca_file: Path | None = None
) -> AsyncIterator[ValkeyLogs]:
    store = ValkeyLogs(
        ValkeyAddress.parse(url),
        password_file=password_file,
        ca_file=ca_file,
        limit_bytes=1024 * 1024,
        keep_s=KEEP_S,
    )
    try:
        yield store
    finally:
        await store.close()


def url_of(server: ValkeyServer) -> str:
    return f"valkey://127.0.0.1:{server.port}"


@in_loop
async def test_another_password_is_refused_in_plain_words_and_the_right_one_taken_up(
    valkey_site: ValkeySite, tmp_path: Path
) -> None:
    owner = valkey_site.owner()
    file = tmp_path / "password"
    file.write_text("another")
    async with opened(url_of(valkey_site.server), password_file=file) as store:
        copy = store.begin(owner)
        await copy.write(b"".join(whole_log(owner.build_id, 10)))
        with pytest.raises(LogStoreError, match="another password than") as caught:
            await copy.flush()
        # A Secret that was rotated gets here after the server has it, or before.
        assert not caught.value.lasting
        file.unlink()
        with pytest.raises(LogStoreError, match=r"password cannot be read: .*No such file"):
            await copy.flush()
        file.write_text(f"{PASSWORD}\n")
        stored = await copy.seal()
        assert await read_all(store, owner, stored)


@in_loop
async def test_no_password_is_refused_in_plain_words(valkey_site: ValkeySite) -> None:
    owner = valkey_site.owner()
    async with opened(url_of(valkey_site.server)) as store:
        with pytest.raises(LogStoreError, match="ADE_VALKEY_PASSWORD_FILE"):
            await copied(store, owner, whole_log(owner.build_id, 10))


@in_loop
async def test_a_user_with_few_rights_is_enough_and_one_with_fewer_is_told(
    valkey_site: ValkeySite, tmp_path: Path
) -> None:
    owner = valkey_site.owner()
    file = tmp_path / "password"
    file.write_text("of-the-user")
    url = f"valkey://logs@127.0.0.1:{valkey_site.port}"
    documented = (Path(__file__).parents[2] / "docs" / "logstores.md").read_text()
    rule = next(line for line in documented.splitlines() if line.startswith("user configbuild "))
    rights = rule.partition(">PASSWORD ")[2].split()
    with valkey_site.client() as client:
        client.execute_command("ACL", "SETUSER", "logs", "on", ">of-the-user", *rights)
    async with opened(url, password_file=file) as store:
        stored = await copied(store, owner, whole_log(owner.build_id, TOO_MANY, noise=True))
        assert await read_all(store, owner, stored)
        with valkey_site.client() as client:
            client.execute_command("ACL", "SETUSER", "logs", "-unlink")
        with pytest.raises(LogStoreError, match="its ACL does not allow that") as caught:
            await store.remove(owner, stored)
        assert caught.value.lasting


@pytest.mark.parametrize(
    ("trusted", "host"),
    [(True, "127.0.0.1"), (False, "127.0.0.1"), (True, "localhost")],
    ids=["good", "other authority", "other name"],
)
@in_loop
async def test_tls_trusts_the_given_authority_and_the_name(
    valkey_site: ValkeySite, tmp_path: Path, trusted: bool, host: str
) -> None:
    owner = valkey_site.owner()
    authority = Authority(names=["127.0.0.1"])
    pair = authority.issue()
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    front.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    ca_file = tmp_path / "ca"
    other = Authority(names=["127.0.0.1"])
    ca_file.write_bytes((authority if trusted else other).certificate)
    password_file = valkey_site.server.password_file
    async with (
        # The server that the package carries speaks no TLS: before it stands what does.
        proxy_before(valkey_site.port, tls=front) as proxy,
        opened(
            f"valkeys://{host}:{proxy.port}", password_file=password_file, ca_file=ca_file
        ) as store,
    ):
        if trusted and host == "127.0.0.1":
            stored = await copied(store, owner, whole_log(owner.build_id, 10))
            log = b"".join(whole_log(owner.build_id, 10))
            assert await read_all(store, owner, stored) == log
        else:
            with pytest.raises(LogStoreError, match="certificate"):
                await copied(store, owner, whole_log(owner.build_id, 10))


@pytest.mark.parametrize("keeps", [True, False], ids=["with its data", "without its data"])
@in_loop
async def test_a_server_that_was_restarted_is_connected_again_and_gets_what_it_lost(
    valkey_program: Path, tmp_path: Path, keeps: bool
) -> None:
    server = ValkeyServer(valkey_program, tmp_path / "own", keeps=keeps)
    server.start()
    site = ValkeySite(server=server)
    owner = site.owner()
    log = b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
    batches = list(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
    half = len(batches) // 2
    try:
        async with site.opened() as store:
            copy = store.begin(owner)
            for batch in batches[:half]:
                await copy.write(batch)
            stored = await copy.flush()
            server.kill()
            with pytest.raises(LogStoreError):
                await copy.flush()
            server.start()
            with site.client() as client:
                assert bool(client.exists(stream_of(owner))) is keeps
            for batch in batches[half:]:
                await copy.write(batch)
            stored = await copy.seal()
            assert await read_all(store, owner, stored) == log
            # A reader's connection is made again as well.
            await asyncio.to_thread(restart, server)
            expected = behind(log, 7) if keeps else b""
            assert await read_all(store, owner, stored, 7) == expected
    finally:
        server.kill()


def restart(server: ValkeyServer) -> None:
    server.kill()
    server.start()


@in_loop
async def test_what_the_server_lost_at_the_end_of_a_copy_is_noticed_before_it_is_sealed(
    valkey_site: ValkeySite,
) -> None:
    owner = valkey_site.owner()
    async with valkey_site.opened() as store:
        copy = store.begin(owner)
        await copy.write(b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True)))
        stored = await copy.flush()
        valkey_site.lose_a_part(owner, stored)
        assert gaps_of(events_of(await read_all(store, owner, stored)))
        stored = await copy.seal()
        log = b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
        assert await read_all(store, owner, stored) == log


@in_loop
async def test_a_server_without_memory_says_so_and_is_asked_again(own_server: ValkeyServer) -> None:
    site = ValkeySite(server=own_server)
    owner = site.owner()
    async with site.opened() as store:
        with site.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
        copy = store.begin(owner)
        await copy.write(b"".join(whole_log(owner.build_id, 1000, noise=True)))
        with pytest.raises(LogStoreError, match=r"no memory left \(maxmemory\)$") as caught:
            await copy.seal()
        assert not caught.value.lasting
        assert not copy.stored().complete
        with site.client() as client:
            client.config_set("maxmemory", "0")
        stored = await copy.seal()
        log = b"".join(whole_log(owner.build_id, 1000, noise=True))
        assert await read_all(store, owner, stored) == log


@in_loop
async def test_a_log_that_the_server_evicted_reads_as_nothing_and_others_stay(
    own_server: ValkeyServer,
) -> None:
    site = ValkeySite(server=own_server)
    with site.client() as client:
        client.config_set("maxmemory-policy", "volatile-lru")
        room = 4 * 1024 * 1024
        client.config_set("maxmemory", client.info("memory")["used_memory"] + room)
    logs: list[tuple[LogOwner, StoredLog]] = []
    async with site.opened() as store:
        while not any(not site.contents(owner) for owner, _ in logs):
            owner = site.owner()
            copy = store.begin(owner)
            await copy.write(b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True)))
            try:
                stored = await copy.seal()
            except LogStoreError:  # it frees what it evicts a moment later
                stored = await copy.seal()
            logs.append((owner, stored))
            assert len(logs) < 50
        for owner, stored in logs:
            log = b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
            read = await read_all(store, owner, stored)
            assert read == (log if site.contents(owner) else b"")
        assert any(site.contents(owner) for owner, _ in logs)


@in_loop
async def test_every_key_expires_by_itself(valkey_site: ValkeySite) -> None:
    owner = valkey_site.owner()
    async with valkey_site.opened() as store:
        copy = store.begin(owner)
        for number, batch in enumerate(whole_log(owner.build_id, TOO_MANY, noise=True)):
            await copy.write(batch)
            if number % 30 == 0:
                await copy.flush()
        assert (await copy.seal()).truncated
    with valkey_site.client() as client:
        names = client.keys(f"*{owner.build_id}*")
        assert len(names) == 2
        assert all(KEEP_S - 120 < client.ttl(name) <= KEEP_S for name in names)


@in_loop
async def test_an_entry_that_is_not_what_it_says_counts_as_missing(
    valkey_site: ValkeySite,
) -> None:
    owner, other = valkey_site.owner(), valkey_site.owner()
    stream = stream_of(owner)
    log = b"".join(whole_log(owner.build_id, 30))
    last_id = log.count(b"\n")
    foreign = b"".join(whole_log(other.build_id, 30))
    async with valkey_site.opened() as store:
        stored = await copied(store, owner, [behind(log, 0)])
        with valkey_site.client() as client:
            forgeries = [b"", b"\x1f\x8b", gzip.compress(b"no line"), gzip.compress(foreign)]
            for number, data in enumerate([*forgeries, gzip.compress(log)], last_id + 1):
                client.xadd(stream, {FIELD: data}, id=f"{number}-0")
            client.xadd(stream, {"other": b"field"}, id=f"{last_id + 9}-0")
        assert await read_all(store, owner, stored) == log
        with valkey_site.client() as client:
            client.set(f"{stream}:middle", b"nothing")
        valkey_site.lose_a_part(owner, stored)
        assert await read_all(store, owner, stored) == log


@in_loop
async def test_a_cursor_far_into_a_log_costs_no_reading_from_its_begin(
    valkey_site: ValkeySite,
) -> None:
    owner = valkey_site.owner()
    log = b"".join(whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
    async with proxy_before(valkey_site.port) as proxy, valkey_site.opened(proxy.port) as store:
        stored = await copied(store, owner, whole_log(owner.build_id, SEVERAL_PARTS, noise=True))
        before = proxy.answered_bytes
        last_id = log.count(b"\n")
        assert await read_all(store, owner, stored, last_id - 1) == behind(log, last_id - 1)
        behind_cursor = proxy.answered_bytes - before
        await read_all(store, owner, stored)
        whole = proxy.answered_bytes - before - behind_cursor
    assert behind_cursor < whole / 4


@in_loop
async def test_gaps_are_told_once_where_entries_went_while_somebody_read(
    valkey_site: ValkeySite,
) -> None:
    owner = valkey_site.owner()
    batches = list(whole_log(owner.build_id, TOO_MANY, noise=True))
    half = len(batches) // 2
    async with valkey_site.opened() as store:
        copy = store.begin(owner)
        for batch in batches[:half]:
            await copy.write(batch)
        stored = await copy.flush()
        read = b""
        is_first = True
        async for block in store.read(owner, stored):
            read += block
            if is_first:
                # All of the tail that there was goes, and some more.
                for batch in batches[half:]:
                    await copy.write(batch)
                await copy.seal()
            is_first = False
    events = events_of(read)
    assert gaps_of(events)
    assert_every_id_is_told_of_once(events, last_id=sum(map(lines_of, batches)))


def lines_of(batch: bytes) -> int:
    return batch.count(b"\n")
