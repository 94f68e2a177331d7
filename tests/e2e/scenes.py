"""What is shown, in this order. Each scene holds the operator to what the documentation says."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import wait_until
from tests.cluster.operation import ROOT
from tests.e2e import images
from tests.e2e.configuration import NODE
from tests.e2e.errors import E2eError, expect
from tests.e2e.user import (
    NAMESPACE,
    PATIENCE_S,
    User,
    process_age_s,
    read_events,
    readiness,
    started_at,
)
from tests.packages import package_files

SAMPLES = ROOT / "manifests" / "samples"
# What the samples need besides themselves; from wherever pip is told to look.
WHEELS = ("setuptools>=77", "wheel", "openpyxl>=3.1", "python-dateutil>=2.9")

# Missed ones are told and do not end the run, since machines differ.
READY_TARGET_S = 3.0
HEALED_TARGET_S = 15.0

# Lines of the build that is followed, and how long it takes with them.
LINES = 40
LINE_S = 0.1

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"

# Inside of the build back end: what a package's author could write.
_TALKATIVE = f"""\
import time
try:
    open("{TOKEN}").read()
    print("the token of the operator: READ", flush=True)
except OSError as error:
    print("the token of the operator:", error.strerror, flush=True)
for number in range({LINES}):
    print("line", number, flush=True)
    time.sleep({LINE_S})
"""


@dataclass
class Stage:
    """The user, and what was learned on the way."""

    user: User
    directory: Path
    facts: list[str] = field(default_factory=list)
    first: str = ""
    second: str = ""

    def note(self, text: str) -> None:
        """Keep a figure for the summary, and print it."""
        self.facts.append(text)
        print(f"        {text}", flush=True)

    def target(self, what: str, seconds: float, target_s: float) -> None:
        """Note a time that has a target."""
        word = "met" if seconds <= target_s else "MISSED"
        self.note(f"{what}: {seconds:.1f} s (target {target_s:g} s, {word})")


def install(stage: Stage) -> None:
    """Apply manifests/default; the operator's pod becomes ready."""
    user = stage.user
    user.install(images.TAGS[0])
    stage.target("container start to /readyz", _time_to_ready(user), READY_TARGET_S)
    pod = user.operator_pod()
    body = readiness(pod["status"]["podIP"])
    expect(body is not None, "/readyz answers")
    warnings = (body or {}).get("warnings") or []
    stage.note(f"sandbox in the pod: warnings of /readyz: {warnings or 'none, it is enforced'}")


def sources(stage: Stage) -> None:
    """Put the samples' trees and wheels on the volume, by kubectl exec."""
    wheels = stage.directory / "wheelhouse"
    stage.user.put(wheels, "wheelhouse")
    stage.user.put(SAMPLES / "sources", f"sources/{NAMESPACE}")


def samples(stage: Stage) -> None:
    """Apply manifests/samples: one is built with uv, one with pip."""
    user = stage.user
    user.kubectl("apply", "-n", NAMESPACE, "-k", str(SAMPLES))
    stage.first = user.wait_ready("invoices")["active"]["buildId"]
    user.wait_ready("timesheets")


def follow(stage: Stage) -> None:
    """Follow a build from another pod, through the Service, with the role `view`."""
    user = stage.user
    user.start_reader("reader", "talkative", role="view")
    user.start_reader("stranger", "talkative", role=None)
    code, log = user.wait_ended("stranger")
    expect(
        code == 3 and '"Forbidden"' in log, f"a service account without a role is refused: {log}"
    )
    user.wait_reading("reader")
    _apply_talkative(user, "1.0.0")
    user.wait_ready("talkative")
    code, log = user.wait_ended("reader")
    events = read_events(log)
    expect(code == 0 and events, f"the reader reads to the end: {log}")
    expect(events[-1][1]["type"] == "build.completed", "the last event is build.completed")
    lines = [
        (at, event["message"])
        for at, event in events
        if event["type"] == "build.log" and event["message"].startswith("line ")
    ]
    expect(
        [text for _, text in lines] == [f"line {number}" for number in range(LINES)],
        "every line came, once and in order",
    )
    spread = lines[-1][0] - lines[0][0]
    expect(spread > LINES * LINE_S / 2, f"lines come as they are written (within {spread} s)")
    said = [
        event["message"]
        for _, event in events
        if event["type"] == "build.log" and event["message"].startswith("the token")
    ]
    expect(said == ["the token of the operator: Permission denied"], f"the sandbox denies: {said}")
    stage.note(f"{len(events)} events read in another pod, {LINES} lines over {spread:.1f} s")
    stage.note("a package's code that opens the operator's token: Permission denied (Landlock)")


def consume(stage: Stage) -> None:
    """Run the engine as a Job, with the venv mounted read-only."""
    data = base64.b64encode((SAMPLES / "data" / "invoices.xlsx").read_bytes()).decode()
    script = (
        'echo "$DATA" | base64 -d > /tmp/in.xlsx;'
        ' touch "$VIRTUAL_ENV/x" 2>&1;'
        " python -I -B -m ade_engine run --input /tmp/in.xlsx --output /tmp/out.csv"
    )
    done = stage.user.plugin("run", "invoices", "-e", f"DATA={data}", "--", "sh", "-c", script)
    said = done.stdout + done.stderr
    expect(done.returncode == 0, f"the Job ends with 0: {said}")
    expect("Read-only file system" in said, f"the venv is read-only: {said}")
    expect("36 rows in in.xlsx, 34 written, 2 with problems" in said, f"it did its work: {said}")


def edit(stage: Stage) -> None:
    """Edit a rule: another build, and the first one stands meanwhile."""
    user = stage.user
    copy = stage.directory / "samples"
    shutil.copytree(SAMPLES, copy)
    manifest = copy / "invoices" / "manifest.json"
    rules = json.loads(manifest.read_text())
    rules["title"] = "Invoices, edited"
    manifest.write_text(json.dumps(rules))
    user.kubectl("apply", "-n", NAMESPACE, "-k", str(copy))
    status = user.wait_ready("invoices", after=stage.first)
    expect(status["build"]["trigger"] == "SpecChanged", f"it was for the edit: {status['build']}")
    stage.second = status["active"]["buildId"]


def roll_back(stage: Stage) -> None:
    """Make the first build the active one again, and give that up."""
    user = stage.user
    user.annotate("invoices", f"ade.dev/activate={stage.first}")
    status = _wait_active(user, "invoices", stage.first)
    expect(status["active"].get("pinned"), f"it is pinned: {status['active']}")
    user.annotate("invoices", "ade.dev/activate-")
    _wait_active(user, "invoices", stage.second)


def kill(stage: Stage) -> None:
    """SIGKILL the operator in its pod, in the middle of a build."""
    user = stage.user
    before = user.config("talkative")["status"]["active"]["buildId"]
    pod = user.operator_pod()
    (state,) = pod["status"]["containerStatuses"]
    _apply_talkative(user, "1.1.0")
    unfinished = user.wait_running("talkative", "install_config", after=before)
    os.kill(user.node.pid_of(state["containerID"]), signal.SIGKILL)
    status = user.wait_ready("talkative", after=before)
    ready = time.time()
    again = user.operator_pod()
    (fresh,) = again["status"]["containerStatuses"]
    expect(fresh["restartCount"] == state["restartCount"] + 1, "the node has started it again")
    expect(status["active"]["buildId"] != unfinished, "the unfinished build is not the active one")
    expect(status["build"]["trigger"] == "Interrupted", f"it was healed: {status['build']}")
    stage.target("killed mid-build, start to healed", ready - started_at(again), HEALED_TARGET_S)


def upgrade(stage: Stage) -> None:
    """Apply the overlay with another tag: nothing is built anew."""
    user = stage.user
    names = ("invoices", "timesheets", "talkative")
    before = {name: user.config(name)["status"]["active"] for name in names}
    old = user.operator_pod()
    user.install(images.TAGS[1])
    took = _time_to_ready(user, other_than=old["metadata"]["uid"])
    stage.target("after the upgrade, container start to /readyz", took, READY_TARGET_S)
    pod = user.operator_pod(other_than=old["metadata"]["uid"])
    image = pod["spec"]["containers"][0]["image"]
    expect(image.endswith(f":{images.TAGS[1]}"), f"it is the new image: {image}")
    user.wait_ready("invoices")
    user.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", "configbuild", "--all")
    after = {name: user.config(name)["status"]["active"] for name in names}
    expect(after == before, f"the same builds are active:\n{before}\n{after}")


def drain(stage: Stage) -> None:
    """Drain the node in the middle of a build; it goes on when there is a node again."""
    user = stage.user
    before = user.config("talkative")["status"]["active"]["buildId"]
    old = user.operator_pod()
    _apply_talkative(user, "1.2.0")
    user.wait_running("talkative", "install_config", after=before)
    options = ("--delete-emptydir-data", "--force", "--timeout=120s")
    user.kubectl("drain", NODE.name, *options)
    (pending,) = user.pods("app.kubernetes.io/component=operator")
    expect(pending["metadata"]["uid"] != old["metadata"]["uid"], "the pod was evicted")
    status = user.config("talkative")["status"]
    expect(status["active"]["buildId"] == before, "what was active stands")
    user.kubectl("uncordon", NODE.name)
    user.operator_pod(other_than=old["metadata"]["uid"])
    user.wait_ready("talkative", after=before)


def delete(stage: Stage) -> None:
    """Delete the namespace: nothing holds it back."""
    cluster = stage.user.node.cluster
    stage.user.kubectl("delete", "namespace", NAMESPACE, "--timeout=150s")
    left = cluster.kubectl("get", "namespace", NAMESPACE, check=False)
    expect("NotFound" in left.stderr, f"the namespace is gone: {left.stdout}")
    wait_until(
        lambda: not stage.user.node.ctr("tasks", "list", "--quiet").strip(),
        what="no container is left",
        timeout_s=PATIENCE_S,
    )


Scene = Callable[[Stage], None]
SCENES: tuple[tuple[str, Scene], ...] = (
    ("manifests/default applied, operator ready", install),
    ("sources and wheels on the volume (kubectl exec)", sources),
    ("manifests/samples built: uv, pip", samples),
    ("log followed from another pod, role view", follow),
    ("Job with the venv mounted read-only", consume),
    ("rule edited, built anew", edit),
    ("rolled back (ade.dev/activate), and forth", roll_back),
    ("operator killed mid-build, healed", kill),
    ("operator upgraded to another image", upgrade),
    ("node drained mid-build, and back", drain),
    ("namespace deleted", delete),
)


def fetch_wheels(directory: Path) -> None:
    """Fill a wheelhouse, on this side of the enclosure: inside nothing is reached."""
    python = images.BASE.partition(":")[2].partition("-")[0]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"),
        *("--python-version", python, "--dest", str(directory), *WHEELS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise E2eError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr}")


def _time_to_ready(user: User, *, other_than: str | None = None) -> float:
    """Wait for the operator's process and its /readyz; returns the seconds between the two."""

    def begun() -> tuple[int, str] | None:
        for pod in user.pods("app.kubernetes.io/component=operator"):
            states = pod["status"].get("containerStatuses", ())
            running = [row for row in states if "running" in row["state"]]
            if running and pod["metadata"]["uid"] != other_than:
                address = pod["status"]["podIP"]
                return user.node.pid_of(running[0]["containerID"]), address
        user.node.check()
        return None

    pid, address = wait_until(begun, what="the operator's container runs", timeout_s=PATIENCE_S)
    wait_until(lambda: readiness(address), what="/readyz answers", timeout_s=PATIENCE_S)
    return process_age_s(pid)


def _apply_talkative(user: User, version: str) -> None:
    """Apply a config with a build back end of its own, which says a line now and then."""
    files = package_files("ade-config", version=version, while_building=_TALKATIVE)
    name = f"talkative-{version.replace('.', '-')}"
    user.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files})
    config = {"configMap": {"name": name}}
    spec: dict[str, Any] = {"engine": {"path": "engine"}, "config": config}
    user.apply(
        {
            "apiVersion": "ade.dev/v1alpha1",
            "kind": "ConfigBuild",
            "metadata": {"name": "talkative"},
            "spec": spec,
        }
    )


def _wait_active(user: User, name: str, build_id: str) -> dict[str, Any]:
    def active() -> dict[str, Any] | None:
        status: dict[str, Any] = user.config(name)["status"]
        return status if status["active"]["buildId"] == build_id else None

    return wait_until(active, what=f"{build_id} is active", timeout_s=PATIENCE_S)
