"""How the operator finds the API server and says who it is: in a pod, and by a kubeconfig."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configbuild.errors import ClusterError
from configbuild.kube import connection
from configbuild.kube.connection import load_connection
from configbuild.kubeconfig import KubeconfigError
from tests.process.support import in_loop

# A credential plugin: each run adds a line to a file, and the token says how many there are.
PLUGIN = """
import json, os, pathlib
runs = pathlib.Path({runs!r})
runs.write_text((runs.read_text() if runs.exists() else "") + "run\\n")
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
status = {{"token": "t" + str(len(runs.read_text().split())), "expirationTimestamp": {until!r}}}
print(json.dumps({{**asked, "status": status}}))
"""


def write(path: Path, user: Mapping[str, Any], *, cluster: Mapping[str, Any] | None = None) -> Path:
    """Write a kubeconfig, and see to it that its time of change is another one."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me"}}],
        "clusters": [{"name": "it", "cluster": {"server": "https://api:1/", **(cluster or {})}}],
        "users": [{"name": "me", "user": dict(user)}],
    }
    path.write_text(json.dumps(content))
    os.utime(path, ns=(before + 1, before + 1))
    return path


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a pod's service account."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("first\n")
    return tmp_path


def replace(token: Path, content: str) -> None:
    """Replace a token as a kubelet does: the file is another one, and newer."""
    before = token.stat().st_mtime_ns
    fresh = token.with_suffix(".new")
    fresh.write_text(content)
    os.utime(fresh, ns=(before + 1, before + 1))
    fresh.replace(token)


@in_loop
async def test_pod_asks_by_address_and_with_the_token_that_is_there_now(pod: Path) -> None:
    found = await load_connection()

    assert found.info.server == "https://10.96.0.1:443"
    assert found.info.ca_path == str(pod / "ca.crt")
    assert await found.headers() == {"Authorization": "Bearer first"}
    replace(pod / "token", "second")
    assert await found.headers() == {"Authorization": "Bearer second"}


@in_loop
async def test_address_of_the_sixth_version_is_in_brackets(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")

    assert (await load_connection()).info.server == "https://[fd00::1]:443"


@in_loop
async def test_what_is_no_pod_and_has_no_kubeconfig_is_told(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod / "token").write_text("")
    with pytest.raises(ClusterError, match="the token is empty"):
        await load_connection()
    (pod / "token").unlink()
    with pytest.raises(ClusterError, match="no KUBECONFIG is set"):
        await load_connection()
    (pod / "token").write_text("first")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ClusterError, match="KUBERNETES_SERVICE_HOST is not set"):
        await load_connection()


@in_loop
async def test_token_that_cannot_be_read_now_is_tried_again(kubeconfig: Path) -> None:
    write(kubeconfig, {"token": "first"})
    found = await load_connection()
    replace(kubeconfig, "{")  # half of a file, as somebody writes it
    with pytest.raises(KubeconfigError, match="cannot be read"):
        await found.headers()
    write(kubeconfig, {"token": "second"})
    assert await found.headers() == {"Authorization": "Bearer second"}


@in_loop
async def test_paths_in_a_kubeconfig_are_relative_to_it(kubeconfig: Path) -> None:
    user = {"client-certificate": "me.crt", "client-key": "/keys/me.key", "tokenFile": "token"}
    (kubeconfig.parent / "token").write_text("of the file\n")
    write(kubeconfig, {**user, "token": "passed over"}, cluster={"certificate-authority": "ca.crt"})

    info = (await load_connection()).info

    assert info.server == "https://api:1"
    assert info.ca_path == str(kubeconfig.parent / "ca.crt")
    assert info.certificate_path == str(kubeconfig.parent / "me.crt")
    assert info.private_key_path == "/keys/me.key"
    assert info.token == "of the file"


@in_loop
async def test_file_of_a_token_that_a_kubeconfig_names_is_read_again_once_it_has_changed(
    kubeconfig: Path,
) -> None:
    token = kubeconfig.with_name("token")
    token.write_text("first\n")
    write(kubeconfig, {"tokenFile": "token"})
    made = await load_connection()
    token.write_text("second\n")
    os.utime(token, ns=(1, 1))
    assert await made.headers() == {"Authorization": "Bearer second"}


@in_loop
async def test_data_in_a_kubeconfig_go_before_paths(kubeconfig: Path) -> None:
    cluster = {"certificate-authority": "ca.crt", "certificate-authority-data": "QQ=="}
    write(
        kubeconfig, {"client-certificate-data": "Qg==", "client-key-data": "Qw=="}, cluster=cluster
    )

    info = (await load_connection()).info

    assert (info.ca_path, info.ca_data) == (None, "QQ==")
    assert (info.certificate_data, info.private_key_data) == ("Qg==", "Qw==")


@pytest.mark.parametrize(
    ("until", "tokens"), [("2000-01-01T00:00:00Z", "t2"), ("2999-01-01T00:00:00Z", "t1")]
)
@in_loop
async def test_program_for_credentials_is_run_again_once_what_it_gave_has_expired(
    kubeconfig: Path, until: str, tokens: str
) -> None:
    source = PLUGIN.format(runs=str(kubeconfig.parent / "runs"), until=until)
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", source],
        "interactiveMode": "Never",
    }
    write(kubeconfig, {"exec": program})

    found = await load_connection()

    assert found.info.token == "t1"
    assert await found.headers() == {"Authorization": f"Bearer {tokens}"}


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"auth-provider": {"name": "oidc"}}, {}, "auth-provider"),
        ({}, {"tls-server-name": "api"}, "tls-server-name"),
        ({}, {"server": ""}, "no current context with a cluster"),
    ],
)
@in_loop
async def test_kubeconfig_that_cannot_be_used_says_why(
    kubeconfig: Path, user: dict[str, Any], cluster: dict[str, Any], words: str
) -> None:
    write(kubeconfig, user, cluster=cluster)

    with pytest.raises(KubeconfigError, match=words):
        await load_connection()
