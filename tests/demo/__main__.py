"""Run the demo: ``python -m tests.demo [--keep]``."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.controlplane import (
    Assets,
    Cluster,
    ControlPlane,
    ControlPlaneError,
    find_or_build,
)
from tests.cluster.operation import ROOT, Operator
from tests.demo import scenes
from tests.demo.show import DemoError, Show

_FAILURES = (DemoError, AssertionError, ControlPlaneError, subprocess.CalledProcessError)


def main() -> int:
    """Play all scenes; 0 if everything was as it should be."""
    parser = argparse.ArgumentParser(prog="make demo", description="Show the main job.")
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    show = Show()
    with tempfile.TemporaryDirectory(prefix="configbuild-demo-") as directory:
        try:
            play(show, Path(directory), keep=keep)
        except (
            DemoError,
            AssertionError,
            ControlPlaneError,
            subprocess.CalledProcessError,
        ) as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nEnded by Ctrl-C; nothing is left running.", file=sys.stderr)
            return 130
    return 0


def play(show: Show, directory: Path, *, keep: bool) -> None:
    """Play the scenes in a directory of their own."""
    finding = AssetsInBackground()
    with show.scene("A build without a cluster", "build without a cluster (uv)"):
        scenes.build_without_a_cluster(show, directory / "local")
    with show.scene("A real Kubernetes API server", "find or build the control plane"):
        show.say("kube-apiserver, etcd and kube-controller-manager, found in a cache or built from")
        show.say("their Go modules (the first time takes about eleven minutes).")
        assets = finding.result()
    with ExitStack() as up:
        with show.scene("The operator", "start the control plane and the operator"):
            plane = ControlPlane.start(directory / "cluster", assets=assets)
            cluster = up.enter_context(plane)
            operator = scenes.start_operator(show, cluster, directory / "operator")
            up.callback(operator.stop)
        _in_the_cluster(show, operator, directory)
        _table(show)
        if keep:
            _leave_up(show, cluster, operator)


def _in_the_cluster(show: Show, operator: Operator, directory: Path) -> None:
    samples = directory / "samples"
    shutil.copytree(scenes.SAMPLES, samples)
    with show.scene("kubectl apply", "two first builds (uv, pip), watched live"):
        first = scenes.first_builds(show, operator, scenes.SAMPLES)
    with show.scene("An edit", "edit a rule, rebuild (uv, warm)"):
        second = scenes.rebuild_after_an_edit(show, operator, samples, first)
    with show.scene("An unchanged apply", "apply again, nothing to do"):
        scenes.apply_unchanged(show, operator, samples, second)


def _table(show: Show) -> None:
    show.line()
    rows = [*show.times, ("all of it", sum(seconds for _, seconds in show.times))]
    show.table([("what was run", "seconds"), *((what, f"{took:7.1f}") for what, took in rows)])


def _leave_up(show: Show, cluster: Cluster, operator: Operator) -> None:
    show.line()
    show.say("Everything stays up until Ctrl-C. In another terminal, try:")
    namespace, url = operator.namespace, operator.url
    plugin = ROOT / ".venv" / "bin" / "kubectl-configbuild"
    for command in (
        f"export PATH={cluster.assets.kubectl.parent}:$PATH KUBECONFIG={cluster.kubeconfig}",
        f"kubectl -n {namespace} get configbuilds --watch",
        "kubectl explain configbuild.spec.config",
        f"kubectl -n {namespace} describe configbuild invoices",
        f"kubectl -n {namespace} edit configbuild invoices",
        f"curl -s {url}/api/v1/workspaces/{namespace}/configs/invoices/builds",
        f"{plugin} logs invoices -n {namespace} --server {url}",
    ):
        show.say(f"  {command}")
    try:
        signal.pause()
    except KeyboardInterrupt:
        show.say("Ending everything.")


class AssetsInBackground:
    """Finds or builds the control plane's programs while something else is shown."""

    def __init__(self) -> None:
        self._watched = threading.Event()
        # A daemon thread, so that Ctrl-C need not wait minutes for a compiler.
        self._answer: Future[Assets] = Future()
        threading.Thread(target=self._find, name="assets", daemon=True).start()

    def result(self) -> Assets:
        """Wait for the programs; from now on the progress is shown."""
        self._watched.set()
        return self._answer.result()

    def _find(self) -> None:
        try:
            self._answer.set_result(find_or_build(report=self._report))
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            self._answer.set_exception(error)

    def _report(self, line: str) -> None:
        if self._watched.is_set():
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
