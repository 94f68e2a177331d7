"""A hostile config package against a real operator: its credentials, its process, its files."""

from __future__ import annotations

import json

import pytest

from configbuild.layout import Layout
from tests.attacks.attempts import ATTEMPTS
from tests.attacks.targets import LIMITS, attempts_source, outcome_of, targets
from tests.cluster.operation import Operator
from tests.packages import write_package

SPEC = {"engine": {"path": "engine"}, "config": {"path": "hostile"}}
WARNING = "ADE_SANDBOX=off: code of packages may do what the operator may, and read its token"

# Not tried against root: see tests/process/test_confinement.py.
NAMES = [name for name in ATTEMPTS if name != "start more processes than allowed"]


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_hostile_package_gets_nothing_of_the_operator_but_with_the_sandbox_off(
    operator: Operator, sandbox: str
) -> None:
    operator.stop()
    operator.configure(
        ADE_SANDBOX=sandbox,
        ADE_BUILD_MEMORY_BYTES=str(LIMITS.memory_bytes),
        ADE_BUILD_FILE_BYTES=str(LIMITS.file_bytes),
        ADE_BUILD_OPEN_FILES=str(LIMITS.open_files),
    )
    operator.start()
    directory = operator.directory
    layout = Layout(
        venvs=directory / "venvs",
        logs=operator.logs,
        cache=directory / "cache",
        sources=directory / "sources",
    )
    with targets(layout, namespace=operator.namespace) as stand_ins:
        assert operator.process is not None
        aims = json.dumps(
            {
                **json.loads(stand_ins),
                "token": str(operator._kubeconfig),
                "pid": operator.process.pid,
            }
        )
        tree = write_package(
            operator.sources / "hostile",
            "ade-config",
            while_building=f"import hostile\nhostile.try_all({aims!r}, where='building')",
        )
        (tree / "hostile.py").write_text(attempts_source())
        operator.apply("invoices", SPEC)
        build_id = operator.wait_for("invoices", "Ready")["status"]["active"]["buildId"]
    said = [event.get("message", "") for event in operator.journal(build_id)]
    expected = {"on": "denied", "off": "succeeded"}[sandbox]
    assert {name: outcome_of(said, "building", name) for name in NAMES} == dict.fromkeys(
        NAMES, expected
    )
    assert operator.process.poll() is None
    _expect_it_is_told(operator, off=sandbox == "off")


def _expect_it_is_told(operator: Operator, *, off: bool) -> None:
    with operator.client() as http:
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["warnings"]) == (200, [WARNING] * off)
        state = "off" if off else "enforced"
        assert f'configbuild_sandbox_state{{state="{state}"}} 1.0\n' in http.get("/metrics").text
    assert (WARNING in operator.log) == off
