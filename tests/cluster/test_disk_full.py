"""A disk that is full: a build ends with a reason, nothing is left, and room is all it takes.

The disk is a small tmpfs at one of the operator's directories, in a mount namespace of the
operator's own: it goes with the process, however that ends. It is filled to its last byte while
the build waits at a gate.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator, condition_of, install_rights
from tests.cluster.trouble import SLOW, SPEC
from tests.packages import write_package
from tests.soak.truth import processes_of
from tests.waits import Gate

FULL = os.strerror(errno.ENOSPC)

# Run by the operator's interpreter before anything else: the process goes on as itself, with the
# same id, in a namespace of its own. As root of that namespace it may mount, whoever it is outside.
_IN_ITS_NAMESPACE = """\
import os, sys

disk = os.environ.pop("TEST_DISK", None)
if disk is not None:
    mount = 'mount -t tmpfs -o "$1" none "$0" && shift && exec "$@"'
    where, options = disk.split("|")
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, where, options]
    os.execvp("unshare", [*unshare, sys.executable, *sys.orig_argv[1:]])
"""

# Leaves a process that no signal but SIGKILL ends, and that holds no pipe of the build's.
_LEAVE_A_DAEMON = """\
import subprocess, sys
sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
null = subprocess.DEVNULL
subprocess.Popen(
    [sys.executable, "-c", sleep], stdin=null, stdout=null, stderr=null, start_new_session=True
)
"""

# So slow that each line comes alone: what room the last block of the journal has is taken up, until
# no event fits any more that is longer than a line, as all others are.
_LINES = 100
_TALK = f"""\
import time
for k in range({_LINES}):
    print("line", k, flush=True)
    time.sleep(0.02)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A small disk of a running operator, at ``name`` below its directory; seen from outside."""

    operator: Operator
    name: str

    @property
    def root(self) -> Path:
        """The disk by the operator's process: its namespace is not ours (proc_pid_root(5))."""
        assert self.operator.process is not None
        inside = self.operator.directory / self.name
        return Path(f"/proc/{self.operator.process.pid}/root{inside}")

    def fill(self) -> None:
        """Take the last byte."""
        with _until_full(), (self.root / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def take_all_names(self) -> None:
        """Take the last inode."""
        with _until_full():
            for number in range(1_000_000):
                (self.root / f"ballast-{number}").touch()

    def mount_again(self, option: str) -> None:
        """Have it read-only (``ro``) or not (``rw``), from within its namespace."""
        assert self.operator.process is not None
        enter = ["nsenter", f"--target={self.operator.process.pid}", "--user", "--mount"]
        where = str(self.operator.directory / self.name)
        argv = [*enter, "--preserve-credentials", "mount", "-o", f"remount,{option}", where]
        subprocess.run(argv, check=True)

    def empty(self) -> None:
        """Make room again."""
        for ballast in self.root.glob("ballast*"):
            ballast.unlink()


class _until_full:  # noqa: N801 - reads as what it does
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, OSError) and error.errno == errno.ENOSPC


@pytest.fixture(scope="session")
def _namespaces() -> None:
    """See that a mount namespace can be had; where CI has none, that is a fault of CI."""
    argv = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    if tried.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"no mount in a namespace of one's own: {tried.stderr}")
    assert tried.returncode == 0, tried.stderr


MakeDisk = Callable[..., Disk]


@pytest.fixture
def operator_on(
    _namespaces: None, control_plane: Cluster, crd: None, namespace: str, tmp_path: Path
) -> Iterator[MakeDisk]:
    """Give a function that starts an operator with a disk of so many bytes and names.

    By then `invoices` is Ready from `SPEC`.
    """
    install_rights(control_plane, namespace)
    started: list[Operator] = []

    def start(name: str, *, size: str, inodes: int = 0) -> Disk:
        place = tmp_path / "operator" / name
        place.mkdir(parents=True)
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_IN_ITS_NAMESPACE)
        settings = {
            "PYTHONPATH": str(site),
            "TEST_DISK": f"{place}|size={size},nr_inodes={inodes}",
        }
        operator = Operator(control_plane, namespace, tmp_path / "operator", settings=settings)
        write_package(operator.sources / "engine", "ade-engine")
        write_package(operator.sources / "config", "ade-config")
        started.append(operator)
        operator.start()
        operator.apply("invoices", SPEC)
        operator.wait_for("invoices", "Ready")
        return Disk(operator=operator, name=name)

    yield start
    for operator in started:
        if operator.process is not None:
            operator.kill()
        print(operator.log)


def test_disk_that_fills_up_with_output_ends_the_build_and_room_lets_its_retry_succeed(
    operator_on: MakeDisk, tmp_path: Path
) -> None:
    disk = operator_on("logs", size="1m")
    operator = disk.operator
    active = operator.get("invoices")["status"]["active"]
    gate = Gate(tmp_path / "gate")
    code = _LEAVE_A_DAEMON + gate.wait_code + _TALK
    write_package(operator.sources / "slow", "ade-config", while_building=code)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]
    assert _processes(operator)

    disk.fill()
    with (
        operator.client() as client,
        client.stream("GET", _events(build_id), params={"follow": "true"}) as answer,
    ):
        lines = answer.iter_lines()
        streamed = [next(lines)]
        gate.open_for_good()
        streamed += [line for line in lines if line]
    _assert_one_end(streamed, reason="JournalFailed")
    assert _processes(operator) == []
    # This is made from the status, since there was no room for it.
    assert "build.completed" not in (disk.root / _file_of(build_id)).read_text()

    body = _wait_until_failed(operator, build_id)
    status = body["status"]
    assert status["build"]["failure"]["reason"] == "JournalFailed"
    assert FULL in status["build"]["failure"]["message"]
    assert [step["name"] for step in status["steps"] if step["status"] == "running"] == []
    assert condition_of(body, "Reconciling")["status"] == "True"
    assert "retryAt" in status["build"]
    assert status["active"] == active
    assert _venvs(operator) == [active["venvPath"]]
    _assert_told_over_http(operator, build_id, reason="JournalFailed")

    disk.empty()
    after = operator.wait_for("invoices", "Ready", patient=True)["status"]
    assert (after["build"]["trigger"], after["build"]["attempt"]) == ("Retry", 2)
    assert after["history"][0]["id"] == build_id
    said = [json.loads(line) for line in _read_events(operator, after["active"]["buildId"])]
    talk = [e["message"] for e in said if e.get("message", "").startswith("line ")]
    assert talk == [f"line {k}" for k in range(_LINES)]
    # The journal of the one before was never ended; its end is told all the same.
    _assert_told_over_http(operator, build_id, reason="JournalFailed")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        pytest.param("cache", None, id="before any step"),
        pytest.param("venvs", "create_venv", id="create_venv"),
        pytest.param("venvs", "install_config", id="install_config"),
        pytest.param("venvs", "collect_metadata", id="collect_metadata"),
    ],
)
def test_disk_that_fills_up_under_a_build_fails_it_by_name_and_spares_the_active_one(
    operator_on: MakeDisk, tmp_path: Path, name: str, step: str | None
) -> None:
    disk = operator_on(name, size="64m")
    operator = disk.operator
    active = operator.get("invoices")["status"]["active"]
    gate = Gate(tmp_path / "gate")
    _write_config_that_waits(operator, gate, before=step)
    if step in ("install_config", "collect_metadata"):
        operator.apply("invoices", SLOW)
        gate.wait_until_reached()
        disk.fill()
        gate.open_for_good()
    else:
        disk.fill()
        operator.apply("invoices", SLOW)
    status = _wait_until_failed(operator)["status"]
    build = status["build"]
    assert build["failure"]["reason"] == "DiskFull"
    assert FULL in build["failure"]["message"]
    assert build["failure"].get("step") == step
    assert "retryAt" in build
    assert operator.journal(build["id"])[-1]["reason"] == "DiskFull"
    assert status["active"] == active
    assert _venvs(disk.operator) == [active["venvPath"]]
    assert list((operator.directory / "cache" / ".scratch").glob("*")) == []
    assert _processes(operator) == []

    disk.empty()
    gate.open_for_good()
    operator.cluster.kubectl(
        *("annotate", "cb/invoices", "-n", operator.namespace, "ade.dev/request=again")
    )
    after = operator.wait_for("invoices", "Ready", patient=True)["status"]
    assert after["active"]["buildId"] not in (active["buildId"], build["id"])


@pytest.mark.parametrize("missing", ["bytes", "names"])
def test_full_disk_where_a_journal_would_begin_is_told_and_room_is_all_it_takes(
    operator_on: MakeDisk, tmp_path: Path, missing: str
) -> None:
    disk = operator_on("logs", size="256k", inodes=50)
    operator = disk.operator
    active = operator.get("invoices")["status"]["active"]
    write_package(operator.sources / "other", "ade-config", module_source="OTHER = 1\n")
    if missing == "bytes":
        disk.fill()
    else:
        disk.take_all_names()
    before = sorted(path.name for path in disk.root.iterdir())
    files = _open_files(operator)
    operator.apply("invoices", {**SPEC, "config": {"path": "other"}})
    body = wait_until(
        lambda: _with_reason(operator.get("invoices"), "JournalFailed"),
        what="the status says what is wrong",
        timeout_s=30,
    )
    assert FULL in condition_of(body, "Reconciling")["message"]
    assert condition_of(body, "Available")["status"] == "True"
    assert body["status"]["active"] == active
    with operator.client() as client:
        answer = client.post(_builds(operator), json={})
    assert answer.status_code == 503
    assert answer.json()["reason"] == "JournalFailed"
    # It goes on trying, and no try leaves a file behind, open or named.
    tries = operator.log.count("trying again in")
    wait_until(
        lambda: operator.log.count("trying again in") >= tries + 2,
        what="it is tried again",
        timeout_s=60,
    )
    assert sorted(path.name for path in disk.root.iterdir()) == before
    assert _open_files(operator) == files

    disk.empty()
    after = operator.wait_for("invoices", "Ready")["status"]
    assert after["build"]["trigger"] == "SpecChanged"
    assert [row["id"] for row in after["history"]] == [active["buildId"]]


def test_disk_that_becomes_read_only_is_told_by_the_next_scrape(operator_on: MakeDisk) -> None:
    disk = operator_on("logs", size="64m")
    assert _writable(disk.operator) == 1

    disk.mount_again("ro")
    assert _writable(disk.operator) == 0

    disk.mount_again("rw")
    assert _writable(disk.operator) == 1


def test_disk_with_next_to_no_room_is_warned_of_before_a_build_meets_it(
    operator_on: MakeDisk,
) -> None:
    disk = operator_on("logs", size="900k")

    def warned() -> bool:
        with disk.operator.client() as client:
            warnings: list[str] = client.get("/readyz").json()["warnings"]
        place = disk.operator.directory / "logs"
        return f"ADE_LOGS_DIR: {place} is full: builds will fail" in warnings

    wait_until(warned, what="it is warned of", timeout_s=30)
    assert "is full: builds will fail" in disk.operator.log


def _writable(operator: Operator) -> float:
    with operator.client() as client:
        text = client.get("/metrics").text
    (family,) = [
        family
        for family in text_string_to_metric_families(text)
        if family.name == "configbuild_volume_writable"
    ]
    return {sample.labels["directory"]: sample.value for sample in family.samples}["logs"]


def _write_config_that_waits(operator: Operator, gate: Gate, *, before: str | None) -> None:
    """Write the config `slow`, whose build is held right before a step, where code of it runs."""
    if before == "collect_metadata":
        code = gate.wait_code
        write_package(operator.sources / "slow", "ade-config", module_source=code)
    else:
        write_package(operator.sources / "slow", "ade-config", while_building=gate.wait_code)


def _wait_until_failed(operator: Operator, build_id: str | None = None) -> dict[str, Any]:
    def failed() -> dict[str, Any] | None:
        body = operator.get("invoices")
        build = body["status"].get("build") or {}
        wanted = build_id in (None, build.get("id")) and build.get("status") == "failed"
        return body if wanted else None

    try:
        return wait_until(failed, what="the build fails", timeout_s=60)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{operator.get('invoices')['status']}") from None


def _with_reason(body: dict[str, Any], reason: str) -> dict[str, Any] | None:
    return body if condition_of(body, "Reconciling").get("reason") == reason else None


def _assert_told_over_http(operator: Operator, build_id: str, *, reason: str) -> None:
    with operator.client() as client:
        told = client.get(f"/api/v1/builds/{build_id}").json()
    assert told["status"] == "failed"
    for follow in ("false", "true"):
        _assert_one_end(_read_events(operator, build_id, follow=follow), reason=reason)


def _assert_one_end(lines: list[str], *, reason: str) -> None:
    events = [json.loads(line) for line in lines]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    ends = [index for index, e in enumerate(events) if e["type"] == "build.completed"]
    assert ends == [len(events) - 1]
    assert (events[-1]["status"], events[-1]["reason"]) == ("failed", reason)


def _read_events(operator: Operator, build_id: str, *, follow: str = "false") -> list[str]:
    with operator.client() as client:
        answer = client.get(_events(build_id), params={"follow": follow}).raise_for_status()
    return [line for line in answer.text.splitlines() if line]


def _events(build_id: str) -> str:
    return f"/api/v1/builds/{build_id}/events"


def _file_of(build_id: str) -> str:
    return f"{build_id.removeprefix('build_').lower()}.ndjson"


def _builds(operator: Operator) -> str:
    return f"/api/v1/workspaces/{operator.namespace}/configs/invoices/builds"


def _venvs(operator: Operator) -> list[str]:
    """List the venvs where the operator sees them: its disk may be there."""
    assert operator.process is not None
    inside = Path(f"/proc/{operator.process.pid}/root")
    found = (inside / operator.venvs.relative_to("/") / "invoices").iterdir()
    return [f"/{path.relative_to(inside)}" for path in found]


def _processes(operator: Operator) -> list[tuple[int, str]]:
    assert operator.process is not None
    return list(processes_of(operator.directory, apart_from=[operator.process.pid]))


def _open_files(operator: Operator) -> list[str]:
    """List the journals that the operator holds open."""
    assert operator.process is not None
    descriptors = Path(f"/proc/{operator.process.pid}/fd").iterdir()
    links = [str(link.readlink()) for link in descriptors if link.is_symlink()]
    return sorted(link for link in links if link.endswith(".ndjson"))
