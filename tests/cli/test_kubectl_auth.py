"""What ``kubectl configbuild`` shows to the operator, and whom it trusts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configbuild.callers import Identity
from configbuild.cli.api import Api
from configbuild.cli.credentials import Credentials, GivenToken, Trust
from configbuild.web.certificates import Authority
from configbuild.web.tls import Tls
from tests.cli.support import Ended
from tests.cli.test_kubectl import end, read_until, run, shell, start
from tests.process.support import in_loop
from tests.web.support import Site, site
from tests.web.test_auth import Cluster, guarded_site

LIST = ("list", "invoices", "-n", "team-a")


def kubeconfig(directory: Path, user: Mapping[str, Any]) -> Path:
    path = directory / "kubeconfig"
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"user": "ann", "cluster": "none"}}],
        "users": [{"name": "ben", "user": {"token": "bens-token"}}, {"name": "ann", "user": user}],
    }
    path.write_text(json.dumps(content))
    return path


def program(directory: Path, source: str) -> dict[str, Any]:
    """Make the `exec` part of a kubeconfig that runs some Python."""
    script = directory / "plugin.py"
    script.write_text(source)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(script), "--for", "ann"],
        "env": [{"name": "WHOSE", "value": "anns"}],
        "interactiveMode": "Never",
    }


PLUGIN = """\
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["kind"] == "ExecCredential" and info["spec"] == {"interactive": False}, info
assert sys.argv[1:] == ["--for", "ann"]
token = os.environ["WHOSE"] + "-token"
print(json.dumps({"kind": "ExecCredential", "status": {"token": token}}))
"""


def users(directory: Path) -> dict[str, dict[str, Any]]:
    (directory / "token").write_text("anns-token\n")
    return {
        "token": {"token": "anns-token"},
        "file": {"tokenFile": "token", "token": "old"},
        "program": {"exec": program(directory, PLUGIN)},
    }


@pytest.mark.parametrize("kind", ["token", "file", "program"])
@in_loop
async def test_token_is_that_of_the_kubeconfigs_user(tmp_path: Path, kind: str) -> None:
    async with guarded_site(tmp_path, Cluster()) as here:
        await here.build()
        config = kubeconfig(tmp_path, users(tmp_path)[kind])
        done = await run(*LIST, env=shell(here.url, {"KUBECONFIG": config}))
        assert (done.code, done.lines[0].split()[0]) == (0, "BUILD"), done.errors


@pytest.mark.parametrize(
    "arguments", [("--token", "anns-token"), ("--token-file", "token")], ids=["token", "file"]
)
@in_loop
async def test_token_that_is_named_goes_before(tmp_path: Path, arguments: tuple[str, str]) -> None:
    (tmp_path / "token").write_text("anns-token\n")
    option, value = arguments
    if option == "--token-file":
        value = str(tmp_path / value)
    async with guarded_site(tmp_path, Cluster()) as here:
        await here.build()
        config = kubeconfig(tmp_path, {"token": "another"})
        env = shell(here.url, {"KUBECONFIG": config})
        refused = await run(*LIST, env=env)
        assert refused.code == 2
        assert "the token is not valid" in refused.errors
        done = await run(*LIST, option, value, env=env)
        assert done.code == 0, done.errors


@in_loop
async def test_token_that_was_refused_is_had_anew_once(tmp_path: Path) -> None:
    source = """\
import json, pathlib
runs = pathlib.Path(__file__).with_name("runs")
again = runs.exists()
runs.touch()
print(json.dumps({"status": {"token": "anns-token" if again else "expired"}}))
"""
    async with guarded_site(tmp_path, Cluster()) as here:
        await here.build()
        config = kubeconfig(tmp_path, {"exec": program(tmp_path, source)})
        done = await run(*LIST, env=shell(here.url, {"KUBECONFIG": config}))
        assert done.code == 0, done.errors


@pytest.mark.parametrize(
    "source", ["raise SystemExit(3)", "print('no JSON')"], ids=["exit", "text"]
)
@in_loop
async def test_program_that_gives_no_token_is_told(tmp_path: Path, source: str) -> None:
    config = kubeconfig(tmp_path, {"exec": program(tmp_path, source)})
    async with guarded_site(tmp_path, Cluster()) as here:
        done = await run(*LIST, env=shell(here.url, {"KUBECONFIG": config}))
    assert done.code == 2
    assert done.errors.startswith("error: ")


@in_loop
async def test_token_is_not_shown_to_the_network(tmp_path: Path) -> None:
    done = await run(
        *LIST, "--token", "anns-token", "--server", "http://192.0.2.1:8443", env=shell()
    )
    assert done.code == 2
    assert "would show your token" in done.errors


@in_loop
async def test_stream_that_is_taken_away_ends_with_the_reason(tmp_path: Path) -> None:
    cluster = Cluster(tokens={"anns-token": Identity(name="ann")})
    async with guarded_site(tmp_path, cluster, recheck_s=0.05) as here:
        gate = here.shut_gate()
        build_id = (await here.post()).json()["id"]
        env = shell(here.url, {"CONFIGBUILD_TOKEN": "anns-token"})
        process = await start("logs", "-f", build_id, env=env)
        read = await read_until(process, "résolving")
        cluster.tokens.clear()
        done = await end(process, read)
        assert done.code == 2
        assert "the token is not valid" in done.errors
        gate.open()
        gate.close()


def fake_kubectl(directory: Path, certificate: bytes | None) -> Path:
    """Make a kubectl that has the authority of the operator, or none."""
    answer = json.dumps({"data": {"ca.crt": (certificate or b"").decode()}})
    (directory / "answer").write_text(answer)
    script = directory / "kubectl"
    script.write_text(
        "#!/bin/sh\n"
        '[ "$*" = "get configmap configbuild-ca -n team-a -o json" ] || exit 1\n'
        + (f"exec cat {directory}/answer\n" if certificate else "exit 1\n")
    )
    script.chmod(0o755)
    return script


async def listed(here: Site, *options: str, **extra: object) -> Ended:
    return await run(*LIST, *options, env=shell(here.url, extra))


@in_loop
async def test_server_is_trusted_by_what_the_operator_publishes(tmp_path: Path) -> None:
    authority = Authority(names=["127.0.0.1"])
    async with site(tmp_path, tls=Tls(authority.issue()).context) as here:
        await here.build()
        for certificate, code in (
            (authority.certificate, 0),
            (Authority(names=["127.0.0.1"]).certificate, 3),
            (None, 3),
        ):
            kubectl = fake_kubectl(tmp_path, certificate)
            done = await listed(here, KUBECTL=kubectl)
            assert done.code == code, done.errors
            assert (code == 0) or "is not to be trusted" in done.errors


@in_loop
async def test_server_is_trusted_by_a_file_or_blindly_where_that_is_said(tmp_path: Path) -> None:
    authority = Authority(names=["127.0.0.1"])
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "other.crt").write_bytes(Authority(names=["127.0.0.1"]).certificate)
    (tmp_path / "none.crt").write_text("no certificate")
    kubectl = fake_kubectl(tmp_path, None)
    async with site(tmp_path, tls=Tls(authority.issue()).context) as here:
        await here.build()
        for options, code in (
            (("--certificate-authority", str(tmp_path / "ca.crt")), 0),
            (("--certificate-authority", str(tmp_path / "other.crt")), 3),
            (("--certificate-authority", str(tmp_path / "none.crt")), 2),
            (("--insecure-skip-tls-verify",), 0),
        ):
            done = await listed(here, *options, KUBECTL=kubectl)
            assert done.code == code, (options, done.errors)


@in_loop
async def test_stream_goes_on_after_the_operator_made_another_authority(tmp_path: Path) -> None:
    old, new = Authority(names=["127.0.0.1"]), Authority(names=["127.0.0.1"])
    kubectl = fake_kubectl(tmp_path, old.certificate)
    tls = Tls(old.issue())
    async with site(tmp_path, tls=tls.context) as here:
        await here.build()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECTL", str(kubectl))
            api = Api(
                server=here.url,
                credentials=Credentials(GivenToken(value="any")),
                trust=Trust(namespaces=("team-a",)),
            )
            path = ("workspaces", "team-a", "configs", "invoices", "builds")
            assert await asyncio.to_thread(api.get, *path)
            tls.use(new.issue())
            fake_kubectl(tmp_path, new.certificate)
            assert await asyncio.to_thread(api.get, *path)
