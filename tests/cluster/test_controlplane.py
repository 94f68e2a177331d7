"""The control plane is a real one, and nothing of it outlives whoever wanted it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.controlplane import Cluster, ControlPlane, StartError, find_or_build, wait_until
from tests.cluster.controlplane import plane as plane_module
from tests.cluster.controlplane.assets import ENVTEST_VARIABLE
from tests.cluster.controlplane.component import Component
from tests.cluster.controlplane.ports import LOOPBACK, Ports, pick_ports
from tests.cluster.controlplane.shared import MODULE, ROOT, shared_control_plane

COMPONENTS = {"etcd", "kube-apiserver", "kube-controller-manager"}
# Against a hang only; processes end within milliseconds.
END_TIMEOUT_S = 30


def config_map(name: str, *, owner: Mapping[str, str] | None = None) -> str:
    """A ConfigMap as a manifest, owned by another one if `owner` is that one's metadata."""
    references = [{"apiVersion": "v1", "kind": "ConfigMap", **owner}] if owner else []
    metadata = {"name": name, "ownerReferences": references}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def test_service_account_may_do_nothing_until_a_role_allows_it(
    control_plane: Cluster, namespace: str
) -> None:
    control_plane.kubectl("create", "serviceaccount", "visitor", f"-n={namespace}")
    visitor = control_plane.service_account_kubeconfig(namespace, "visitor")
    listing = ("get", "configmaps")

    denied = control_plane.kubectl(*listing, kubeconfig=visitor, check=False)
    control_plane.kubectl(
        *("create", "rolebinding", "visitor", f"-n={namespace}"),
        *("--clusterrole=view", f"--serviceaccount={namespace}:visitor"),
    )
    allowed = control_plane.kubectl(*listing, kubeconfig=visitor)

    assert denied.returncode == 1
    assert "Forbidden" in denied.stderr
    assert "kube-root-ca.crt" in allowed.stdout


def test_audit_log_names_user_verb_resource_and_answer(
    control_plane: Cluster, namespace: str
) -> None:
    user = f"system:serviceaccount:{namespace}:default"
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    mark = control_plane.audit.mark()

    control_plane.kubectl("get", "configmap", "x", kubeconfig=kubeconfig, check=False)

    (entry,) = wait_until(
        lambda: [
            e
            for e in control_plane.audit.entries(user=user, since=mark)
            if e.resource == "configmaps"
        ],
        what="the request appears in the audit log",
        timeout_s=10,
    )
    assert (entry.verb, entry.namespace, entry.name, entry.code) == ("get", namespace, "x", 403)
    assert control_plane.audit.entries(user=user, since=control_plane.audit.mark()) == ()


def test_audit_log_tells_a_subresource_from_its_resource(
    control_plane: Cluster, namespace: str
) -> None:
    mark = control_plane.audit.mark()

    control_plane.service_account_kubeconfig(namespace, "default")  # asks for a token

    entry = wait_until(
        lambda: next(
            (
                e
                for e in control_plane.audit.entries(user="admin", since=mark)
                if e.resource == "serviceaccounts/token" and e.namespace == namespace
            ),
            None,
        ),
        what="the token request appears in the audit log",
        timeout_s=10,
    )
    assert (entry.verb, entry.name, entry.code) == ("create", "default", 201)


def test_object_is_collected_after_its_owner(control_plane: Cluster, namespace: str) -> None:
    there = f"-n={namespace}"
    control_plane.kubectl("apply", there, "-f=-", stdin=config_map("owner"))
    uid = control_plane.kubectl("get", there, "configmap/owner", "-o=jsonpath={.metadata.uid}")
    owned = config_map("owned", owner={"name": "owner", "uid": uid.stdout})
    control_plane.kubectl("apply", there, "-f=-", stdin=owned)

    control_plane.kubectl("delete", there, "configmap/owner")

    control_plane.kubectl("wait", there, "--for=delete", "configmap/owned", "--timeout=60s")


def test_deleted_namespace_goes_with_its_contents(control_plane: Cluster) -> None:
    name = control_plane.create_namespace("doomed")
    control_plane.kubectl("apply", f"-n={name}", "-f=-", stdin=config_map("inside"))

    control_plane.delete_namespace(name)

    control_plane.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=90s")
    left = control_plane.kubectl("get", f"-n={name}", "configmap/inside", check=False)
    assert "NotFound" in left.stderr


def test_every_caller_of_a_run_gets_the_same_control_plane_until_the_run_is_killed(
    tmp_path: Path,
) -> None:
    """`cat` stands for the run's own process: it lives until it is killed."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        first = shared_control_plane(tmp_path, owner=owner.pid)
        second = shared_control_plane(tmp_path, owner=owner.pid)
        assert first.url == second.url
        with watch_end_of_components(tmp_path):
            owner.kill()


def test_failed_start_of_the_shared_control_plane_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = tmp_path / "tries"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (*COMPONENTS, "kubectl"):
        (programs / name).write_text(f"#!/bin/sh\necho {name} >> {tries}\necho broken; exit 3\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv(ENVTEST_VARIABLE, str(programs))

    # Both are broken, and either may be seen to end first.
    for _ in range(2):
        with pytest.raises(StartError, match=r"(etcd|kube-apiserver) exited with 3(.|\n)*broken"):
            shared_control_plane(tmp_path / "run", owner=os.getpid())

    # One of them may be ended before it has said a word.
    begun = tries.read_text().splitlines()
    assert begun
    assert len(set(begun)) == len(begun)


def test_no_component_outlives_an_up_that_is_killed(tmp_path: Path) -> None:
    with up(tmp_path / "plane") as process:
        with watch_end_of_components(tmp_path):
            process.kill()
        assert process.wait() == -signal.SIGKILL


def test_up_ends_everything_and_itself_on_sigterm(tmp_path: Path) -> None:
    with up(tmp_path / "plane") as process:
        with watch_end_of_components(tmp_path):
            process.terminate()
        assert process.wait() == 0
    assert not (tmp_path / "plane" / "etcd").exists()


def test_restarted_apiserver_keeps_address_and_data_and_a_paused_one_answers_later(
    tmp_path: Path,
) -> None:
    with ControlPlane.start(tmp_path / "plane", assets=find_or_build()) as plane:
        plane.kubectl("apply", "-f=-", stdin=config_map("kept"))
        reading = ("get", "configmap/kept", "--request-timeout=2s")

        plane.restart_apiserver()
        plane.kubectl(*reading)
        plane.pause_apiserver()
        paused = plane.kubectl(*reading, check=False)
        plane.resume_apiserver()
        plane.kubectl(*reading)

        assert paused.returncode == 1
        with watch_end_of_components(tmp_path):
            plane.pause_apiserver()  # so that it can not follow a SIGTERM
            plane.stop()


def test_taken_port_makes_it_start_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picked: list[Ports] = []

    def pick() -> Ports:
        picked.append(pick_ports())
        if len(picked) == 1:  # somebody is quicker
            thief.bind((LOOPBACK, picked[0].apiserver))
            thief.listen()
        return picked[-1]

    monkeypatch.setattr(plane_module, "pick_ports", pick)
    with (
        socket.socket() as thief,
        ControlPlane.start(tmp_path / "plane", assets=find_or_build()) as plane,
    ):
        assert len(picked) == 2
        assert plane.url.endswith(f":{picked[1].apiserver}")
        assert plane.ready()


def test_component_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """For the kernel the thread is the parent; a restart may be asked for by any thread."""
    program = "import signal; print('ready', flush=True); signal.pause()"
    started: list[Component] = []

    def start() -> None:
        component = Component("x", [sys.executable, "-c", program], log=tmp_path / "x.log")
        started.append(component)
        wait_until(lambda: "ready" in component.log_tail(), what="it is ready", timeout_s=30)

    thread = threading.Thread(target=start)
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    thread.join()
    wait_until(lambda: not task.exists(), what="the kernel has ended the thread", timeout_s=30)

    (component,) = started
    component.stop(grace_s=30)
    assert component.exit_code == -signal.SIGTERM, "it was killed before"


def test_directory_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(FileExistsError, match="is not empty"):
        ControlPlane.start(tmp_path, assets=find_or_build())

    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@contextmanager
def up(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """The `up` command as a child of this process, ready; killed afterwards if it is left."""
    argv = [sys.executable, "-m", MODULE, "up", f"--directory={directory}"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("export KUBECONFIG=")
            yield process
        finally:
            process.kill()


@contextmanager
def watch_end_of_components(directory: Path) -> Iterator[None]:
    """See all components below `directory` run before the block, and end after it."""
    pids = {
        int(command.parent.name): name
        for command in Path("/proc").glob("[0-9]*/cmdline")
        if (name := component_of(command, directory))
    }
    assert set(pids.values()) == COMPONENTS
    pidfds = {os.pidfd_open(pid): name for pid, name in pids.items()}
    try:
        yield
        for pidfd, name in pidfds.items():
            ended, _, _ = select.select([pidfd], [], [], END_TIMEOUT_S)
            assert ended, f"{name} still runs"
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def component_of(command_line: Path, directory: Path) -> str | None:
    """The component that a process in /proc is, if it is one of those in `directory`."""
    try:
        program, *options = command_line.read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended meanwhile
        return None
    name = Path(program).name
    return name if name in COMPONENTS and any(str(directory) in o for o in options) else None
