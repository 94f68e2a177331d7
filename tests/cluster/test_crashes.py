"""The operator dies: in every step, and between any two acts that belong together.

A signal comes from outside, while a build waits at a gate. To die between two system calls, the
operator's own process kills itself: a `sitecustomize`, put on its path by the test alone, wraps
the call. In the end the next operator must have brought everything back to one truth.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import tarfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import START_TIMEOUT_S, condition_of, install_rights
from tests.packages import write_package
from tests.soak.soak import Victim, wait_until_settled
from tests.soak.truth import contradictions, examine
from tests.soak.witness import Witness
from tests.waits import PATIENCE_S, Gate, process_ended

SPEC = {"engine": {"path": "engine"}, "config": {"path": "config"}}
STEPS = (
    "create_venv",
    "upgrade_pip",
    "install_engine",
    "install_config",
    "verify_imports",
    "collect_metadata",
)

_FAULT = """\
import os, signal

_real, _hits = os.{call}, 0


def _path(fd):
    return os.readlink(f"/proc/self/fd/{{fd}}")


def _file(fd):
    with open(f"/proc/self/fd/{{fd}}", "rb") as file:
        return file.read()


def _faulty(*args, **kwargs):
    global _hits
    hit = bool({hits})
    _hits += hit
    dies = hit and _hits == {nth}
    if dies and {when!r} == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if dies and {when!r} == "half way":
        args = (args[0], args[1][: len(args[1]) // 2], *args[2:])
    result = _real(*args, **kwargs)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


if _real in os.supports_dir_fd:  # else shutil would take another way than it does in earnest
    os.supports_dir_fd.add(_faulty)
os.{call} = _faulty
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Death at the ``nth`` call of ``os.<call>`` for which ``hits`` (Python) is so.

    ``when``: before the call, after it, or half way through what it writes.
    """

    call: str
    hits: str
    when: str
    nth: int = 1

    @property
    def source(self) -> str:
        return _FAULT.format(call=self.call, hits=self.hits, when=self.when, nth=self.nth)


RECEIPT = 'str(args[1]).endswith("/ade-runtime/build.json")'
PACKAGES = 'str(args[1]).endswith("/ade-runtime/packages.txt")'
LAST_EVENT = 'b\'"type":"build.completed"\' in args[1]'
LAST_EVENT_ON_DISK = 'b\'"type":"build.completed"\' in _file(args[0])'
NAME_OF_A_JOURNAL = '_path(args[0]).endswith("/logs")'
IN_A_VENV = '"dir_fd" in kwargs and "/venvs/" in _path(kwargs["dir_fd"])'


class Mortal(Victim):
    """An operator that can be given a `sitecustomize` for its next lives."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path) -> None:
        self._site = directory / "site"
        super().__init__(cluster, namespace, directory / "operator")
        self.settings["PYTHONPATH"] = str(self._site)
        write_package(self.sources / "engine", "ade-engine")
        write_package(self.sources / "config", "ade-config")

    def customize(self, source: str) -> None:
        """Have this run at the start of every life from now on."""
        shutil.rmtree(self._site, ignore_errors=True)
        self._site.mkdir()
        (self._site / "sitecustomize.py").write_text(source)

    def live(self) -> None:
        """Start, without any fault, and wait until it is ready."""
        self.customize("")
        self.launch()
        self.await_ready()

    def await_death(self) -> None:
        """Wait for the death by a fault; it must have come by SIGKILL."""
        assert self.process is not None
        assert self.process.wait(timeout=START_TIMEOUT_S) == -signal.SIGKILL
        self.process = None


@pytest.fixture
def operator(control_plane: Cluster, crd: None, namespace: str, tmp_path: Path) -> Iterator[Mortal]:
    """Make an operator, not started yet; ended with the test, and its last log shown."""
    install_rights(control_plane, namespace)
    operator = Mortal(control_plane, namespace, tmp_path)
    yield operator
    if operator.process is not None:
        operator.kill()
    print(operator.log)


@pytest.fixture
def witness(control_plane: Cluster, crd: None, namespace: str) -> Iterator[Witness]:
    with Witness(control_plane, namespace, contradictions) as witness:
        yield witness


class ProgramGate(Gate):
    """A gate before a program, for commands that run no code of a package."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._script = path
        self._told = path.with_name(path.name + ".told")
        os.mkfifo(self._told)
        # Held open for reading and writing, so that neither side waits for the other to open it.
        self._reading = os.open(self._told, os.O_RDWR | os.O_NONBLOCK)

    def wait_until_reached(self) -> int:
        """Wait for the program to be there; a shell has no sockets, so it writes its id."""
        ready, _, _ = select.select([self._reading], [], [], PATIENCE_S)
        assert ready, "the build did not come to the gate"
        return os.pidfd_open(int(os.read(self._reading, 64).split()[0]))

    def before(self, program: Path, arguments: str) -> Path:
        """Make a program that is ``program``, and waits where its arguments match the pattern."""
        self._script.write_text(f"""\
#!/bin/sh
case "$*" in
{arguments})
    echo $$ > "{self._told}"
    while [ ! -e "{self._opened}" ]; do sleep 0.02; done ;;
esac
exec "{program}" "$@"
""")
        self._script.chmod(0o755)
        return self._script


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda it: it.name)
def test_build_that_is_cut_off_in_any_step_ends_in_its_journal_and_is_made_again(
    operator: Mortal, witness: Witness, tmp_path: Path, number: signal.Signals
) -> None:
    gates = _gated_objects(operator, tmp_path)
    waiting = {step: gate.wait_until_reached() for step, gate in gates.items()}
    cut_off = {step: _build_in_step(operator, step) for step in STEPS}
    if number == signal.SIGKILL:
        operator.kill()
    else:
        assert operator.stop() == 0
    assert [step for step, pidfd in waiting.items() if not process_ended(pidfd)] == []
    for gate in gates.values():
        gate.open_for_good()
    operator.launch()
    operator.await_ready()
    reason = "Interrupted" if number == signal.SIGKILL else "OperatorShutdown"
    for step in STEPS:
        status = operator.wait_for(_name(step), "Ready")["status"]
        assert (step, status["build"]["trigger"]) == (step, "Interrupted")
        assert [(row["id"], row["reason"]) for row in status["history"]] == [
            (cut_off[step], reason)
        ]
    _expect_one_truth(operator, witness)


@pytest.mark.parametrize(
    ("fault", "stands"),
    [
        pytest.param(
            Fault(call="rename", hits=PACKAGES, when="before"), False, id="before packages.txt"
        ),
        pytest.param(
            Fault(call="rename", hits=RECEIPT, when="before"), False, id="before the receipt"
        ),
        pytest.param(
            Fault(call="rename", hits=RECEIPT, when="after"), False, id="after the receipt"
        ),
        pytest.param(
            Fault(call="pwrite", hits=LAST_EVENT, when="half way"), False, id="in the last event"
        ),
        pytest.param(
            Fault(call="fdatasync", hits=LAST_EVENT_ON_DISK, when="after"),
            True,
            id="before the last status",
        ),
    ],
)
def test_build_whose_end_is_cut_off_stands_if_its_journal_says_so_else_it_is_made_again(
    operator: Mortal, witness: Witness, tmp_path: Path, fault: Fault, stands: bool
) -> None:
    operator.customize(fault.source)
    operator.launch()
    operator.await_ready()
    first = _build_held_at(operator, gate := Gate(tmp_path / "gate"))
    gate.open_for_good()
    operator.await_death()
    operator.live()
    status = operator.wait_for("invoices", "Ready")["status"]
    if stands:
        assert status["active"]["buildId"] == first
        assert "history" not in status
    else:
        assert [row["id"] for row in status["history"]] == [first]
        assert operator.journal(first)[-1]["reason"] == "Interrupted"
        assert status["build"]["trigger"] == "Interrupted"
    _expect_one_truth(operator, witness)


def test_build_that_no_status_has_named_is_made_anew(operator: Mortal, witness: Witness) -> None:
    operator.customize(Fault(call="fsync", hits=NAME_OF_A_JOURNAL, when="after").source)
    operator.launch()
    operator.await_ready()
    operator.apply("invoices", SPEC)
    operator.await_death()
    assert operator.get("invoices")["status"] == {"observedGeneration": -1}
    operator.live()
    status = operator.wait_for("invoices", "Ready")["status"]
    assert status["build"]["trigger"] == "Initial"
    _expect_one_truth(operator, witness)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            Fault(call="fdatasync", hits=LAST_EVENT_ON_DISK, when="before"), id="journal not synced"
        ),
        pytest.param(
            Fault(call="fdatasync", hits=LAST_EVENT_ON_DISK, when="after"), id="journal ended"
        ),
        pytest.param(
            Fault(call="unlink", hits=IN_A_VENV, when="before", nth=5), id="venv half removed"
        ),
    ],
)
def test_healing_that_is_cut_off_is_done_again(
    operator: Mortal, witness: Witness, tmp_path: Path, fault: Fault
) -> None:
    operator.live()
    interrupted = _build_held_at(operator, gate := Gate(tmp_path / "gate"))
    operator.kill()
    gate.open_for_good()
    operator.customize(fault.source)
    operator.launch()
    operator.await_death()
    operator.live()
    status = operator.wait_for("invoices", "Ready")["status"]
    assert status["build"]["trigger"] == "Interrupted"
    assert [row["id"] for row in status["history"]] == [interrupted]
    assert operator.journal(interrupted)[-1]["reason"] == "Interrupted"
    _expect_one_truth(operator, witness)


def test_build_that_was_interrupted_twice_is_not_made_a_third_time(
    operator: Mortal, witness: Witness, tmp_path: Path
) -> None:
    operator.live()
    gate = Gate(tmp_path / "gate")  # named, for it is closed once nobody has it
    first = _build_held_at(operator, gate)
    operator.kill()
    operator.live()
    second = _build_in_step(operator, "install_config", "invoices", apart_from=first)
    operator.kill()
    operator.live()
    body = operator.wait_for("invoices", "Stalled")
    assert condition_of(body, "Stalled")["reason"] == "Interrupted"
    assert body["status"]["build"]["id"] == second
    assert len(list(operator.logs.iterdir())) == 2
    assert list((operator.venvs / "invoices").iterdir()) == []
    _expect_one_truth(operator, witness)


def _gated_objects(operator: Mortal, tmp_path: Path) -> dict[str, Gate]:
    """Start an operator and apply one object for each step, whose build waits in that step."""
    uv, python = ProgramGate(tmp_path / "uv"), ProgramGate(tmp_path / "python")
    gates: dict[str, Gate] = {step: Gate(tmp_path / step) for step in STEPS}
    gates |= {"create_venv": uv, "collect_metadata": python}
    operator.settings |= {
        "ADE_UV_BIN": str(
            uv.before(_uv(), f'"venv --no-project"*"/{_name("create_venv")}/"*'),
        ),
        "ADE_WHEELHOUSE": str(_wheelhouse(tmp_path / "house", gates["upgrade_pip"])),
        "ADE_MAX_CONCURRENCY": str(len(STEPS)),
        # Programs that wait for a test are no programs of the sandbox.
        "ADE_SANDBOX": "off",
    }
    guarded = python.before(
        Path(sys.executable), f'*"/collect_metadata.py "*"/{_name("collect_metadata")}/"*'
    )
    operator.customize(f"import sys; sys.executable = {str(guarded)!r}")
    sources = operator.sources
    for step, name in (("install_engine", "ade-engine"), ("install_config", "ade-config")):
        write_package(sources / step, name, while_building=gates[step].wait_code)
    code = gates["verify_imports"].wait_code
    write_package(sources / "verify_imports", "ade-config", module_source=code)
    special = {
        "upgrade_pip": {"install": {"installer": "pip"}},
        "install_engine": {"engine": {"path": "install_engine"}},
        "install_config": {"config": {"path": "install_config"}},
        "verify_imports": {"config": {"path": "verify_imports"}},
    }
    operator.launch()
    operator.await_ready()
    for step in STEPS:
        operator.apply(_name(step), {**SPEC, **special.get(step, {})})
    return gates


def _name(step: str) -> str:
    return "in-" + step.replace("_", "-")


def _uv() -> Path:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert found is not None
    return Path(found)


def _wheelhouse(directory: Path, gate: Gate) -> Path:
    """Make a wheelhouse in which pip finds itself, and a setuptools to build that waits."""
    directory.mkdir()
    for name, code in (("setuptools", gate.wait_code), ("wheel", "pass")):
        tree = write_package(directory / "trees" / name, name, version="999", while_building=code)
        with tarfile.open(directory / f"{name}-999.tar.gz", "w:gz") as sdist:
            sdist.add(tree, f"{name}-999")
    bundled = Path(venv.__file__).parent.parent / "ensurepip" / "_bundled"
    for wheel in bundled.glob("pip-*.whl"):
        shutil.copy(wheel, directory)
    return directory


def _build_held_at(operator: Mortal, gate: Gate) -> str:
    """Apply an object whose build waits at a gate, until its status says so; the build's id."""
    write_package(operator.sources / "slow", "ade-config", while_building=gate.wait_code)
    operator.apply("invoices", {**SPEC, "config": {"path": "slow"}})
    gate.wait_until_reached()
    return _build_in_step(operator, "install_config", "invoices")


def _build_in_step(
    operator: Mortal, step: str, name: str | None = None, *, apart_from: str = ""
) -> str:
    """Wait until a status says that a build is in a step; the build's id."""
    name = name or _name(step)

    def build() -> str | None:
        status = operator.get(name)["status"]
        found: str = (status.get("build") or {}).get("id", "")
        return found if status.get("step") == step and found != apart_from else None

    return wait_until(build, what=f"{name} is in {step}", timeout_s=60)


def _expect_one_truth(operator: Mortal, witness: Witness) -> None:
    wait_until_settled(operator, witness)
    assert examine(operator, witness).findings == []
