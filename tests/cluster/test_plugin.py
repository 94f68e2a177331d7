"""``kubectl configbuild`` with a real kubectl, operator and API server."""

from __future__ import annotations

import subprocess

from tests.cli.support import PATIENCE_S, Ended, argv, environment
from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}


def plugin(cluster: Cluster, *arguments: str, server: str = "") -> Ended:
    env = environment(
        {
            "KUBECONFIG": cluster.kubeconfig,
            "KUBECTL": cluster.assets.kubectl,
            **({"CONFIGBUILD_SERVER": server} if server else {}),
        }
    )
    done = subprocess.run(
        argv("kubectl", *arguments), env=env, capture_output=True, timeout=PATIENCE_S, check=False
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
