"""``kubectl configbuild`` with a real kubectl, operator and API server."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.cli.support import PATIENCE_S, Ended, argv, environment
from tests.cli.test_completion import fake_kubectl, on_path
from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.kubelet import playing_kubelet
from tests.cluster.operation import ROOT, Operator

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}


def shell(cluster: Cluster, server: str = "") -> dict[str, str]:
    return environment(
        {
            "KUBECONFIG": cluster.kubeconfig,
            "KUBECTL": cluster.assets.kubectl,
            **({"CONFIGBUILD_SERVER": server} if server else {}),
        }
    )


def plugin(cluster: Cluster, *arguments: str, server: str = "") -> Ended:
    done = subprocess.run(
        argv("kubectl", *arguments),
        env=shell(cluster, server),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def test_earlier_build_is_activated_and_given_up_again(
    control_plane: Cluster, operator: Operator
) -> None:
    where = ("-n", operator.namespace)
    operator.apply("invoices", SPEC)
    first = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    operator.apply("invoices", {**SPEC, "install": {"compileBytecode": False}})
    second = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    assert second != first

    done = plugin(control_plane, "activate", "invoices", first, *where)
    assert (done.code, done.errors) == (0, ""), done
    assert done.text.startswith(f"{operator.namespace}/invoices: {first} is the active build")
    assert operator.get("invoices")["status"]["active"]["buildId"] == first
    page = plugin(control_plane, "describe", "invoices", *where, server=operator.url)
    assert page.code == 0
    assert "         pinned by ade.dev/activate" in page.lines
    assert max(map(len, page.lines)) <= 80

    unknown = "build_01JD9V0Q6BX7ZQ4V7E3MPK2T5C"
    refused = plugin(control_plane, "activate", "invoices", unknown, *where)
    assert refused.code == 2
    assert f"{unknown} is no build of this ConfigBuild" in refused.errors

    undone = plugin(control_plane, "activate", "invoices", "--undo", *where)
    assert (undone.code, undone.text) == (
        0,
        f"{operator.namespace}/invoices: what is declared counts again\n",
    )
    wait_until(
        lambda: operator.get("invoices")["status"]["active"]["buildId"] == second,
        what="what is declared is active again",
        timeout_s=60,
    )
    again = plugin(control_plane, "activate", "invoices", first, *where)
    assert (again.code, again.text) == (0, done.text)
    # An edit ends the choice, and leaves the annotation, which is one more choice to make.
    operator.apply("invoices", {**SPEC, "verify": {"imports": ["ade_config"]}})
    third = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    assert third not in (first, second)
    once_more = plugin(control_plane, "activate", "invoices", first, *where)
    assert (once_more.code, once_more.text) == (0, done.text)


def deploy(operator: Operator) -> None:
    """Apply the shipped Deployment; the volume is said to be where the operator's directories are.

    No pod of it runs, since the operator of these tests is a process.
    """
    rendered = operator.cluster.kubectl("kustomize", str(ROOT / "manifests" / "base")).stdout
    docs = {doc["kind"]: doc for doc in yaml.safe_load_all(rendered)}
    deployment = docs["Deployment"]
    deployment["spec"]["replicas"] = 0
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["volumeMounts"][0]["mountPath"] = str(operator.directory)
    content = yaml.safe_dump_all([deployment, docs["PersistentVolumeClaim"]])
    operator.cluster.kubectl("apply", "-n", operator.namespace, "-f", "-", stdin=content)


def pod_of_the_job(operator: Operator) -> dict[str, Any]:
    """Wait for the pod that `run` has made."""

    def look() -> dict[str, Any] | None:
        selector = ("-l", "app.kubernetes.io/component=run", "-o", "json")
        answer = operator.cluster.kubectl("get", "pods", "-n", operator.namespace, *selector)
        items: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
        alive = [it for it in items if "deletionTimestamp" not in it["metadata"]]
        return alive[0] if alive else None

    return wait_until(look, what="the Job has a pod", timeout_s=60)


def start_run(operator: Operator, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv("kubectl", "run", "invoices", "-n", operator.namespace, "--", *command),
        env=shell(operator.cluster),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def jobs(operator: Operator) -> list[str]:
    answer = operator.cluster.kubectl("get", "jobs", "-n", operator.namespace, "-o", "name")
    return answer.stdout.split()


def test_command_runs_in_the_active_environment_and_its_output_and_code_are_passed_on(
    control_plane: Cluster, operator: Operator
) -> None:
    control_plane.kubectl(
        *("label", "namespace", operator.namespace, "pod-security.kubernetes.io/enforce=restricted")
    )
    deploy(operator)
    operator.apply("invoices", SPEC)
    active = operator.wait_for("invoices", "Ready")["status"]["active"]
    with playing_kubelet(control_plane, f"node-{operator.namespace}") as kubelet:
        process = start_run(operator, "python", "-m", "ade_engine", "--input", "a b")
        pod = pod_of_the_job(operator)
        assert pod["metadata"]["labels"]["ade.dev/build-id"] == active["buildId"]
        (container,) = pod["spec"]["containers"]
        assert container["command"] == ["python", "-m", "ade_engine", "--input", "a b"]
        assert container["image"] == "configbuild-operator:dev"
        mount = container["volumeMounts"][0]
        assert (mount["mountPath"], mount["readOnly"]) == (active["venvPath"], True)
        within = f"venvs/{operator.namespace}/invoices/"
        assert mount["subPath"].startswith(within)
        assert {
            "name": "PATH",
            "value": f"{active['venvPath']}/bin:/usr/local/bin:/usr/bin:/bin",
        } in (container["env"])

        where = (operator.namespace, pod["metadata"]["name"])
        kubelet.take(*where)
        assert process.stdout is not None
        kubelet.write(b"row 1\n")
        assert process.stdout.readline() == b"row 1\n"
        kubelet.write(b"row 2, and no newline: \xff")
        kubelet.end(*where, code=7)
        rest, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, rest) == (7, b"row 2, and no newline: \xff"), errors
        assert jobs(operator) == []


def test_interrupted_run_removes_its_job(control_plane: Cluster, operator: Operator) -> None:
    deploy(operator)
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    with playing_kubelet(control_plane, f"node-{operator.namespace}") as kubelet:
        process = start_run(operator, "sleep", "infinity")
        pod = pod_of_the_job(operator)
        kubelet.take(operator.namespace, pod["metadata"]["name"])
        kubelet.write(b"asleep\n")
        assert process.stdout is not None
        assert process.stdout.readline() == b"asleep\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130, errors
        assert jobs(operator) == []


def test_run_that_cannot_begin_says_why_and_ends_with_125(
    control_plane: Cluster, operator: Operator
) -> None:
    where = ("-n", operator.namespace)
    operator.apply("invoices", {**SPEC, "suspend": True})
    nothing = plugin(control_plane, "run", "invoices", *where, "--", "true")
    assert (nothing.code, nothing.text) == (125, "")
    assert "has no active build" in nothing.errors
    operator.apply("invoices", SPEC)
    operator.wait_for("invoices", "Ready")
    nowhere = plugin(control_plane, "run", "invoices", *where, "--", "true")
    assert nowhere.code == 125
    assert "say --image and --claim" in nowhere.errors
    # A claim of a workspace, which begins deeper and says so. This operator's are in a place of
    # their own, so no claim is taken to begin anywhere.
    venv = Path(operator.get("invoices")["status"]["active"]["venvPath"])
    asked = ("run", "invoices", *where, "--image", "some", "--dry-run")
    unsaid = plugin(control_plane, *asked, "--claim", "share", "--", "true")
    assert unsaid.code == 125
    assert "ade.dev/mount-path" in unsaid.errors
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(_claim(operator, venv.parents[1])))
    for said in ((), ("--claim", "share")):
        planned = yaml.safe_load(plugin(control_plane, *asked, *said, "--", "true").text)
        pod = planned["spec"]["template"]["spec"]
        assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "share"}
        (mount, *_) = pod["containers"][0]["volumeMounts"]
        assert mount["mountPath"] == str(venv)
        assert mount["subPath"] == f"invoices/{venv.name}"
    deploy(operator)
    with playing_kubelet(control_plane, f"node-{operator.namespace}") as kubelet:
        process = start_run(operator, "true")
        pod = pod_of_the_job(operator)["metadata"]["name"]
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        kubelet.report(operator.namespace, pod, "Pending", waiting)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 125
        assert b"does not begin: ImagePullBackOff: no such image" in errors
        assert jobs(operator) == []


def _claim(operator: Operator, mount_path: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "share",
            "namespace": operator.namespace,
            "annotations": {"ade.dev/mount-path": str(mount_path)},
        },
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
        },
    }


def test_kubectl_asks_the_plugin_for_words_in_every_shell(
    control_plane: Cluster, tmp_path: Path
) -> None:
    fake_kubectl(tmp_path)
    env = on_path(tmp_path, "kubectl-configbuild", "kubectl_complete-configbuild")
    words = ("activate", "-n", "team-a", "invoices", "")
    done = subprocess.run(
        [control_plane.assets.kubectl, "__complete", "configbuild", *words],
        env={**env, "KUBECONFIG": "/nowhere"},
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["build_2\tactive", "build_1\tfailed", ":4"]
