"""A whole minute without the API server, in the middle of a build."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from tests.cluster.controlplane import ControlPlane, wait_until
from tests.cluster.operation import Operator
from tests.cluster.trouble import SLOW, SOON_S, SPEC, Prepare, crash
from tests.packages import write_package
from tests.waits import Gate

# Twice as long as a request may take, and longer than all the pauses that kopf makes between its
# tries (54 s in all): who gives up at all has given up by then.
OUTAGE_S = 60.0

LINES = 500


def test_build_ends_and_is_read_during_a_minute_without_the_api_server(
    plane: ControlPlane, prepare: Prepare, tmp_path: Path
) -> None:
    operator = prepare(plane)
    operator.start()
    gate = Gate(tmp_path / "gate")
    code = gate.wait_code + f"for k in range({LINES}): print('line', k, flush=True)\n"
    write_package(operator.sources / "slow", "ade-config", while_building=code)
    operator.apply("invoices", SLOW)
    gate.wait_until_reached()
    build_id = operator.wait_for("invoices", "Reconciling")["status"]["build"]["id"]

    crash(plane)
    down_since = time.monotonic()
    with operator.client() as client:
        # Asked for before the end is there: it is followed live, and ends by itself.
        with client.stream("GET", _events(build_id), params={"follow": "true"}) as answer:
            lines = answer.iter_lines()
            streamed = [next(lines)]
            gate.open_for_good()
            streamed += [line for line in lines if line]
        _assert_whole(operator, build_id, streamed)
        assert _messages(client, build_id) == [f"line {k}" for k in range(LINES)]
        # The one wait for nothing but time to pass: it is what this test is about.
        wait_until(
            lambda: time.monotonic() - down_since >= OUTAGE_S,
            what="the outage is over",
            timeout_s=2 * OUTAGE_S,
        )
        assert client.get(f"/api/v1/builds/{build_id}").json()["status"] == "active"
        assert operator.process is not None
        assert operator.process.poll() is None
    assert not plane.ready()
    plane.restart_apiserver()

    status = operator.wait_for("invoices", "Ready", timeout_s=SOON_S / 2)["status"]
    assert status["active"]["buildId"] == build_id
    assert status["log"]["lines"] == len(streamed)
    assert "history" not in status
    # The watch is back as well.
    operator.apply("orders", SPEC)
    operator.wait_for("orders", "Ready")
    assert len(list(operator.logs.iterdir())) == 2


def _events(build_id: str) -> str:
    return f"/api/v1/builds/{build_id}/events"


def _messages(client: httpx.Client, build_id: str) -> list[str]:
    """Page through the log; the lines that the package has printed."""
    found, after_id = [], 0
    while True:
        url = f"/api/v1/builds/{build_id}/logs"
        page = client.get(url, params={"after_id": after_id, "limit": 300}).raise_for_status()
        found += [entry["message"] for entry in page.json()["entries"]]
        after_id = page.json()["next_after_id"]
        if after_id is None:
            return [message for message in found if message.startswith("line ")]


def _assert_whole(operator: Operator, build_id: str, streamed: list[str]) -> None:
    path = operator.logs / f"{build_id.removeprefix('build_').lower()}.ndjson"
    assert streamed == path.read_text().splitlines()
    events = operator.journal(build_id)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [e["type"] for e in events].index("build.completed") == len(events) - 1
    assert events[-1]["status"] == "active"
