"""An exception where nobody expects one, once, in the real operator: what becomes of its objects.

Either the operator lives on and comes to the right state by itself, or it ends with an error and
the next start does; it never lives on without doing its work. A build in which something of our own
fails ends with a reason, and leaves nothing.

What cannot be made to fail in earnest is made to by `injection.py`, at a call that is chosen here.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster import injection
from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator, condition_of, install_rights
from tests.cluster.trouble import SPEC
from tests.packages import write_package
from tests.soak.truth import processes_of

# A retry comes after 2 s, a complete list each second once ten have passed since the start.
RIGHT_S = 60.0

# Leaves a process that holds no pipe of the build's, so that something is there to be ended.
_LEAVE_A_DAEMON = """\
import subprocess, sys
sleep = "import time; time.sleep(600)"
null = subprocess.DEVNULL
subprocess.Popen(
    [sys.executable, "-c", sleep], stdin=null, stdout=null, stderr=null, start_new_session=True
)
print("built")
"""


DEFECT = "RuntimeError('injected')"
IO_ERROR = "OSError(5, 'injected')"
NO_FILES_LEFT = "OSError(24, 'injected')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error at the first call of ``target`` for which ``hits`` (Python, of ``args``) is so."""

    target: str
    hits: str = "True"
    error: str = DEFECT


def _at(target: str, hits: str = "True", *, error: str = DEFECT) -> Any:
    name = ".".join(target.split(".")[-2:])
    kind = error.partition("(")[0]
    identity = " ".join([name, *([hits] if hits != "True" else []), kind])
    return pytest.param(Fault(target=target, hits=hits, error=error), id=identity)


_OF_INVOICES = "'invoices' in str(args)"
_BUILDS = "configbuild.builds.service.Builds"
_RECONCILER = "configbuild.kube.reconciler.Reconciler"
_WRITER = "configbuild.kube.status_writer.StatusWriter"
_CLUSTER = "configbuild.kube.client.Cluster"
_SWEEP = "configbuild.builds.retention.Sweep"
_RUN = "configbuild.engine._Run"
_ATTEMPT = "configbuild.builds.attempt.Attempt"
_ROUTES = "configbuild.web.routes"

AT_START = [
    _at("configbuild.app.probe"),
    _at("configbuild.app.remove_tree"),
    _at("configbuild.app.load_connection"),
    _at(f"{_CLUSTER}.check_permissions"),
    _at(f"{_CLUSTER}.list_configbuilds"),
    _at(f"{_RECONCILER}.observe"),
    _at("configbuild.kube.watch.watch_settings"),
    _at("configbuild.app.serve"),
    _at("configbuild.web.server._listener"),
    _at("configbuild.builds.runner.BuildRunner.run"),
    _at(f"{_BUILDS}.ensure"),
    _at("configbuild.builds.service.recollect"),
    _at("configbuild.builds.recollection.kept_venvs"),
]

AT_AN_EDIT = [
    # The handler of kopf, whose only other call hands the body over.
    _at("configbuild.kube.watch.dict"),
    _at(f"{_RECONCILER}.observe", _OF_INVOICES),
    _at("configbuild.kube.objects.ObjectCache.put", _OF_INVOICES),
    _at(f"{_RECONCILER}._reconcile", _OF_INVOICES),
    _at(f"{_RECONCILER}.declared", _OF_INVOICES),
    _at(f"{_BUILDS}.ensure", _OF_INVOICES),
    _at("configbuild.builds.workshop.Reader.read", _OF_INVOICES),
    _at("configbuild.sources.SourceResolver.resolve"),
    _at("configbuild.builds.service.decide"),
    _at("configbuild.journal.directory.Journals.create"),
    _at("configbuild.journal.directory.Journals.create", error=IO_ERROR),
    _at(f"{_ATTEMPT}.__init__"),
    # Of the build that history has no room for.
    _at("configbuild.journal.directory.Journals.remove", error=IO_ERROR),
    _at("configbuild.builds.runner.BuildRunner.submit"),
    _at(f"{_ATTEMPT}.run"),
    _at(f"{_ATTEMPT}.finish"),
    _at("configbuild.journal.writer.JournalWriter.append", "'BuildCompleted' in str(args[1])"),
    _at("configbuild.journal.writer.JournalWriter.close"),
    _at(f"{_RECONCILER}.settled"),
    _at(f"{_WRITER}.mark", _OF_INVOICES),
    _at("configbuild.kube.status_writer.render_status", _OF_INVOICES),
    _at("configbuild.kube.status_writer.merge_patch"),
    _at("configbuild.kube.status_writer.announcements"),
    _at(f"{_CLUSTER}.patch_status", _OF_INVOICES),
    _at(f"{_CLUSTER}.patch_status", "'Active' in str(args)"),
    _at(f"{_CLUSTER}.create_event"),
]

AT_REST = [
    _at(f"{_BUILDS}.due"),
    _at(f"{_RECONCILER}.list_all"),
    _at(f"{_CLUSTER}.list_configbuilds"),
    _at(f"{_BUILDS}.sweep"),
    _at("configbuild.builds.janitor.outdated"),
    _at("configbuild.builds.janitor.removable"),
    _at(f"{_SWEEP}.kept", error=IO_ERROR),
    _at(f"{_SWEEP}.orphaned_venvs", error=IO_ERROR),
    _at(f"{_SWEEP}.unknown_journals", error=IO_ERROR),
]

AT_A_DELETE = [
    _at("configbuild.kube.objects.ObjectCache.remove", _OF_INVOICES),
    _at(f"{_BUILDS}.forget", _OF_INVOICES),
    _at("configbuild.builds.service.remove_tree", error=IO_ERROR),
    _at("configbuild.journal.directory.Journals.remove", error=IO_ERROR),
]

_STEPS = ("create_venv", "install_engine", "install_config", "verify_imports", "collect_metadata")

IN_A_BUILD = [
    _at("configbuild.engine.make_plan"),
    _at("configbuild.process.Launcher.start", error=NO_FILES_LEFT),
    _at(f"{_RUN}.prepare", error=IO_ERROR),
    *(_at(f"{_RUN}.run_step", f"args[1].step == {step!r}") for step in ("upgrade_pip", *_STEPS)),
    *(
        _at(f"{_RUN}.run_command", f"args[2] == {step!r}", error=error)
        for step in _STEPS
        for error in (DEFECT, IO_ERROR)
    ),
    _at("configbuild.process.Launcher._request", error=NO_FILES_LEFT),
    _at(f"{_ATTEMPT}.step_output"),
    _at("configbuild.steplog.StepLog.feed", "b'built' in args[2]"),
    _at("configbuild.steplog.StepLog.feed", "b'built' in args[2]", error=IO_ERROR),
    _at("configbuild.steplog.StepLog.end"),
    _at(f"{_RUN}.after", "args[1] == 'install_engine'"),
    _at("configbuild.engine.installed", error=IO_ERROR),
    _at("configbuild.provenance.write_receipt", error=IO_ERROR),
    _at(f"{_ATTEMPT}.sync"),
    _at(f"{_ATTEMPT}.emit", "'succeeded' in str(args)"),
    _at(f"{_RUN}.finish"),
]

_ONE = "/api/v1/builds/{id}"

# Comes once the answer has begun.
IN_A_STREAM = Fault(target="configbuild.journal.directory.follow_journal")

OVER_HTTP = [
    pytest.param("GET", _ONE, Fault(target=f"{_BUILDS}.find"), id="look at a build"),
    pytest.param("GET", "{builds}", Fault(target=f"{_ROUTES}._build"), id="list builds"),
    # Only who asks over HTTP asks for something beyond what is declared.
    pytest.param(
        *("POST", "{builds}", Fault(target=f"{_BUILDS}.ensure", hits="len(args) > 2")),
        id="ask for a build",
    ),
    pytest.param("POST", "{builds}", Fault(target=f"{_ROUTES}._snapshot"), id="be answered"),
    pytest.param("GET", f"{_ONE}/logs", Fault(target=f"{_ROUTES}.read_page"), id="read a log"),
    pytest.param("GET", f"{_ONE}/events", Fault(target=f"{_ROUTES}.stream_events"), id="stream"),
    pytest.param("POST", f"{_ONE}/cancel", Fault(target=f"{_BUILDS}.cancel"), id="cancel"),
]


# For what must differ from all that was before it.
_NUMBERS = itertools.count()


class Faulty(Operator):
    """An operator in which an error can be had at any time, in any function of the tables."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path) -> None:
        self._faults = directory / "faults"
        site = directory / "site"
        super().__init__(
            cluster,
            namespace,
            directory / "operator",
            settings={
                "PYTHONPATH": str(site),
                "TEST_FAULTS": str(self._faults),
                "ADE_RELIST_SECONDS": "1",
                "ADE_ORPHAN_GRACE_SECONDS": "0",
                "ADE_REPLACED_KEEP_SECONDS": "0",
                "ADE_BUILD_HISTORY_LIMIT": "1",
            },
        )
        site.mkdir()
        shutil.copy(injection.__file__, site / "sitecustomize.py")
        self._faults.mkdir()
        (self._faults / "targets").write_text(json.dumps(_targets()))

    def arm(self, fault: Fault) -> None:
        """Have a fault at the next call that it is for."""
        (self._faults / "hit").unlink(missing_ok=True)
        text = json.dumps({"target": fault.target, "hits": fault.hits, "error": fault.error})
        partial = self._faults / "partial"
        partial.write_text(text)
        partial.rename(self._faults / "armed")

    def disarm(self) -> None:
        """Take back a fault that did not come."""
        (self._faults / "armed").unlink(missing_ok=True)

    def wait_until_hit(self) -> None:
        """Wait for the fault: without it the test would show nothing."""
        wait_until((self._faults / "hit").exists, what="the error was raised", timeout_s=RIGHT_S)

    def ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.process is None or self.process.poll() is not None

    def be_running(self) -> None:
        """Start the process unless it runs; one that has ended said by its code that it failed."""
        if self.process is not None and self.process.poll() is not None:
            assert self.process.returncode > 0, f"ended with {self.process.returncode}"
            self.process = None
        if self.process is None:
            self.start()

    def see_right(self, right: Callable[[], Any], *, what: str) -> None:
        """Wait for the right state: by this process, or by the next if this one ends."""

        def right_or_ended() -> bool:
            return self.ended() or bool(right())

        try:
            wait_until(right_or_ended, what=what, timeout_s=RIGHT_S)
            if not self.works():
                self.be_running()
                assert self.works()
            wait_until(right, what=what, timeout_s=RIGHT_S)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {wrongs(self)}\n{self.log[-6000:]}") from None
        assert httpx.get(f"{self.url}/readyz").is_success

    def works(self) -> bool:
        """Ask it for something that takes all its parts: a watch, a look, a status, an answer.

        False if it ends instead: one that is about to end still answers over HTTP for a moment.
        """
        token = f"token-{next(_NUMBERS)}"
        self.request("standing", token)

        def handled() -> bool:
            known = self.get("standing")["status"].get("handled", {}).get("request", {})
            return bool(known.get("token") == token)

        wait_until(
            lambda: self.ended() or handled(), what="a request is followed", timeout_s=RIGHT_S
        )
        return not self.ended()


def _targets() -> list[str]:
    rows = [*AT_START, *AT_AN_EDIT, *AT_REST, *AT_A_DELETE, *IN_A_BUILD, *OVER_HTTP]
    return sorted({row.values[-1].target for row in rows} | {IN_A_STREAM.target})


@pytest.fixture(scope="module")
def operator_of_file(
    control_plane: Cluster, crd: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Faulty]:
    """Run one operator for all tests of this file, started anew only where it has ended."""
    namespace = control_plane.create_namespace("faults")
    install_rights(control_plane, namespace)
    operator = Faulty(control_plane, namespace, tmp_path_factory.mktemp("faulty"))
    write_package(operator.sources / "engine", "ade-engine")
    write_package(operator.sources / "config", "ade-config")
    yield operator
    if operator.process is not None:
        operator.kill()
    control_plane.delete_namespace(namespace)


@pytest.fixture
def operator(operator_of_file: Faulty) -> Iterator[Faulty]:
    """Have the operator running with `standing` and `invoices` at rest."""
    operator = operator_of_file
    operator.disarm()
    operator.be_running()
    for name in ("standing", "invoices"):
        operator.apply(name, SPEC)
    for name in ("standing", "invoices"):
        operator.wait_for(name, "Ready", patient=True)
    operator.see_right(lambda: wrongs(operator) == [], what="all is at rest")
    yield operator
    operator.disarm()
    print(operator.log[-20_000:])


@pytest.mark.parametrize("fault", AT_START)
def test_error_at_a_start_ends_it_or_is_got_over(operator: Faulty, fault: Fault) -> None:
    before = _active_builds(operator)
    assert operator.stop() == 0
    operator.arm(fault)
    try:
        operator.start()
    except (AssertionError, httpx.TransportError):
        # It has ended, perhaps a moment after it had said where it serves.
        assert operator.process is not None
        operator.process.wait(timeout=RIGHT_S)
    operator.wait_until_hit()
    operator.see_right(lambda: wrongs(operator) == [], what="all is as it was")
    assert _active_builds(operator) == before, "something was built again"


@pytest.mark.parametrize("fault", AT_AN_EDIT)
def test_error_at_an_edit_keeps_nobody_from_what_is_declared(
    operator: Faulty, fault: Fault
) -> None:
    before = _active_builds(operator)
    spec = _edited(operator)
    operator.arm(fault)
    operator.apply("invoices", spec)
    operator.wait_until_hit()
    operator.see_right(
        lambda: _is_ready(operator, "invoices") and wrongs(operator) == [],
        what="the edit is built",
    )
    after = _active_builds(operator)
    assert after["standing"] == before["standing"]
    assert after["invoices"] != before["invoices"]


@pytest.mark.parametrize("fault", AT_REST)
def test_error_at_rest_changes_nothing(operator: Faulty, fault: Fault) -> None:
    before = _active_builds(operator)
    operator.arm(fault)
    operator.wait_until_hit()
    # Whatever failed is done again: what belongs to nobody is swept by the next.
    orphan = operator.venvs / "nobody" / "01jb2z5v7t3qk8m4n6p9r0s1xa"
    orphan.mkdir(parents=True)
    operator.see_right(lambda: not orphan.exists(), what="it is swept again")
    assert _active_builds(operator) == before
    assert wrongs(operator) == []


@pytest.mark.parametrize("fault", AT_A_DELETE)
def test_error_at_a_delete_leaves_nothing_of_the_deleted(operator: Faulty, fault: Fault) -> None:
    before = _active_builds(operator)
    operator.arm(fault)
    operator.cluster.kubectl("delete", "cb/invoices", "-n", operator.namespace)
    operator.wait_until_hit()
    operator.see_right(
        lambda: not (operator.venvs / "invoices").exists() and wrongs(operator) == [],
        what="venv and journal are gone",
    )
    assert _active_builds(operator) == {"standing": before["standing"]}


@pytest.mark.parametrize("fault", IN_A_BUILD)
def test_error_in_a_build_fails_it_with_a_reason_and_leaves_nothing_of_it(
    operator: Faulty, fault: Fault
) -> None:
    before = _active_builds(operator)
    spec = _edited(operator, while_building=_LEAVE_A_DAEMON)
    operator.arm(fault)
    operator.apply("invoices", spec)
    operator.wait_until_hit()
    body = operator.wait_for("invoices", "Stalled")
    assert not operator.ended()
    failure = body["status"]["build"]["failure"]
    assert "injected" in failure["message"]
    assert failure["reason"] == condition_of(body, "Ready")["reason"]
    assert condition_of(body, "Available")["status"] == "True"
    assert _active_builds(operator) == before
    assert wrongs(operator) == []


@pytest.mark.parametrize(("method", "url", "fault"), OVER_HTTP)
def test_error_over_http_is_told_once_and_harms_nobody(
    operator: Faulty, method: str, url: str, fault: Fault
) -> None:
    before = _active_builds(operator)
    builds = f"/api/v1/workspaces/{operator.namespace}/configs/invoices/builds"
    url = url.format(id=before["invoices"], builds=builds)
    operator.arm(fault)
    # Each on a connection of its own: after an error the server closes one without saying so.
    with operator.client() as client:
        first = client.request(method, url)
    with operator.client() as client:
        second = client.request(method, url)
    assert first.status_code == 500
    assert first.headers["content-type"] == "application/problem+json"
    assert first.json()["reason"] == "InternalError"
    assert "injected" not in first.text
    assert second.is_success, second.text
    assert not operator.ended()
    assert _active_builds(operator) == before
    assert wrongs(operator) == []


def test_error_in_a_stream_cuts_it_so_that_nobody_takes_it_for_whole(operator: Faulty) -> None:
    build_id = _active_builds(operator)["invoices"]
    url = f"/api/v1/builds/{build_id}/events"
    operator.arm(IN_A_STREAM)
    with operator.client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(url)
    with operator.client() as client:
        again = client.get(url)
    assert [json.loads(line) for line in again.text.splitlines()] == operator.journal(build_id)
    assert not operator.ended()
    assert wrongs(operator) == []


def _edited(operator: Operator, *, while_building: str = "pass") -> dict[str, Any]:
    """Make a config that was never built, and the spec that names it."""
    name = f"edit-{next(_NUMBERS)}"
    write_package(
        operator.sources / name,
        "ade-config",
        module_source=f"NAME = {name!r}\n",
        while_building=while_building,
    )
    return {**SPEC, "config": {"path": name}}


def _is_ready(operator: Operator, name: str) -> bool:
    body = operator.get(name)
    ready = condition_of(body, "Ready")
    current = ready.get("observedGeneration") == body["metadata"]["generation"]
    return bool(current and ready["status"] == "True")


def _active_builds(operator: Operator) -> dict[str, str]:
    return {name: body["status"]["active"]["buildId"] for name, body in operator.get_all().items()}


def wrongs(operator: Operator) -> list[str]:
    """Tell what is not as it should be of objects, venvs, journals and processes at rest."""
    bodies = operator.get_all()
    found = []
    for name, body in bodies.items():
        if condition_of(body, "Reconciling") or not condition_of(body, "Available"):
            found.append(f"{name} is not at rest: {body['status'].get('conditions')}")
    rows = [row for body in bodies.values() for row in _builds_of(body)]
    named = {row["id"] for row in rows}
    active = _active_of(bodies)
    venvs = {f"build_{path.name.upper()}" for path in operator.venvs.glob("*/*")}
    journals = {f"build_{path.stem.upper()}" for path in operator.logs.glob("*.ndjson")}
    verified = active | {row["id"] for row in rows if row["status"] == "active"}
    if venvs != verified:
        found.append(f"venvs {sorted(venvs)}, and verified are {sorted(verified)}")
    if journals != named | active:
        found.append(f"journals {sorted(journals)}, and known are {sorted(named | active)}")
    for row in rows:
        found += _wrongs_of_journal(operator, row) if row["id"] in journals else []
    found += [f"scratch {path}" for path in (operator.directory / "cache/.scratch").glob("*")]
    own = [operator.process.pid] if operator.process is not None else []
    found += [f"process {it}" for it in processes_of(operator.directory, apart_from=own)]
    return found


def _builds_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    status = body["status"]
    return [*([status["build"]] if "build" in status else []), *status.get("history", [])]


def _active_of(bodies: dict[str, dict[str, Any]]) -> set[str]:
    found = [body["status"].get("active") or {} for body in bodies.values()]
    return {active["buildId"] for active in found if active}


def _wrongs_of_journal(operator: Operator, row: dict[str, Any]) -> list[str]:
    events = operator.journal(row["id"])
    ends = [event["status"] for event in events if event["type"] == "build.completed"]
    whole = [event["id"] for event in events] == list(range(1, len(events) + 1))
    told = whole and ends == [row["status"]] and events[-1]["type"] == "build.completed"
    return [] if told else [f"journal of {row['id']}, {row['status']}: ends {ends}, whole {whole}"]
