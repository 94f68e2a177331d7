"""The pure pieces of `make e2e`; the whole of it is a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.controlplane.assets import Assets
from tests.cluster.controlplane.flags import kube_apiserver
from tests.cluster.controlplane.gomod import read_pins
from tests.cluster.controlplane.layout import Layout
from tests.cluster.controlplane.member import API_SERVICE_ADDRESS
from tests.cluster.controlplane.ports import Ports
from tests.e2e import __main__ as program
from tests.e2e.configuration import NODE
from tests.e2e.errors import E2eError
from tests.e2e.machine import Probe
from tests.e2e.parts import missing_packages, parts_directory
from tests.e2e.user import read_events

PORTS = Ports(apiserver=1, etcd=2, etcd_peer=3)


def test_parts_are_kept_by_both_versions(tmp_path: Path) -> None:
    directory = parts_directory({"XDG_CACHE_HOME": str(tmp_path)}, read_pins())

    assert directory.parent == tmp_path / "configbuild" / "controlplane"
    assert directory.name.startswith(f"node-kubernetes-{read_pins().kubernetes}-containerd-v2.")


def test_other_containerd_is_another_directory(tmp_path: Path) -> None:
    go_mod = tmp_path / "go.mod"
    go_mod.write_text("require github.com/containerd/containerd/v2 v9.9.9\n")

    assert "-containerd-v9.9.9-" in parts_directory({}, read_pins(), go_mod).name


def test_api_server_leaves_loopback_for_a_node_only() -> None:
    assets, layout = Assets(Path("/a")), Layout(Path("/l"))

    alone = kube_apiserver(assets, layout, PORTS)
    with_node = kube_apiserver(assets, layout, PORTS, NODE)

    assert "--bind-address=127.0.0.1" in alone
    assert "--authorization-mode=RBAC" in alone
    assert "--bind-address=0.0.0.0" in with_node
    assert f"--advertise-address={NODE.address}" in with_node
    assert "--authorization-mode=Node,RBAC" in with_node
    assert API_SERVICE_ADDRESS == "10.96.0.1"


def test_events_are_read_with_their_time_and_without_what_lies_between() -> None:
    log = 'WAITING\n12.5 {"type":"build.log"}\nWAITING\n13.0 {"type":"build.completed"}\n'

    assert read_events(log) == [
        (12.5, {"type": "build.log"}),
        (13.0, {"type": "build.completed"}),
    ]


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(E2eError, match="wants root"):
        program._check_machine()


def test_right_that_a_machine_does_not_give_is_named_with_its_words() -> None:
    granted = Probe(right="list a directory", argv=("ls", "/"))
    refused = Probe(right="read nothing", argv=("sh", "-c", "echo 'it is not there' >&2; exit 1"))
    unknown = Probe(right="run it", argv=("/nowhere/program",))

    assert granted.problem() is None
    assert refused.problem() == "read nothing: it is not there"
    assert "run it: [Errno 2]" in (unknown.problem() or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to be without")
@pytest.mark.skipif(
    bool(missing_packages()) and os.environ.get("CI") != "true",
    reason="a program that is missing is told first; CI installs all",
)
def test_root_without_a_right_is_told_which_before_anything_is_built() -> None:
    """With a code of its own, by which CI knows the machine's limit from a failure."""
    limited = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")

    done = subprocess.run(
        [*limited, sys.executable, "-m", "tests.e2e", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == program.NOT_ALLOWED
    assert "make namespaces (CAP_SYS_ADMIN" in done.stderr
