"""What is so, read from outside: processes, files and objects, by none of the operator's own code.

An orphan is a journal or a venv that no status names. There are three kinds: what a deleted object
left, what was never named (the operator died first), and what an object's history has dropped.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.operation import Operator
from tests.soak.witness import Witness

# How many builds a status keeps beside the newest (ADE_BUILD_HISTORY_LIMIT).
HISTORY = 5

# What a package prints while it is built, so that a lost or doubled line can be told.
NOISE = "noise"

_CROCKFORD_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ENDED = ("active", "failed", "canceled")
_USES_THE_VENV = "import ade_engine, ade_config; print(getattr(ade_config, 'VARIANT', ''))"


@dataclass
class Truth:
    """What was counted, and in ``findings`` what should not be so.

    ``builds`` are all that there ever were; ``lines``, those of the journals that are still there.
    """

    findings: list[str] = field(default_factory=list)
    builds: int = 0
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    processes: int = 0
    untrue: int = 0
    orphans: Counter[str] = field(default_factory=Counter)

    def expect(self, holds: bool, finding: str) -> None:
        """Note a finding unless something holds."""
        if not holds:
            self.findings.append(finding)

    def take_up(self, later: Truth) -> None:
        """Go on with what was found later, when some journals had been swept away."""
        self.findings += [found for found in later.findings if found not in self.findings]
        self.processes += later.processes
        self.builds, self.untrue, self.orphans = later.builds, later.untrue, later.orphans


class Named(set[str]):
    """The builds that a status names; of any other, why none does; and all that there ever were."""

    def __init__(self, builds: set[str], *, ever: set[str], origin: Callable[[str], str]) -> None:
        super().__init__(builds)
        self.ever = builds | ever
        self.origin = origin


def examine(operator: Operator, witness: Witness, *, swept: bool = False) -> Truth:
    """Compare processes, journals, venvs and objects with each other, of an operator at rest.

    Once it has ``swept`` without any grace, an orphan is a finding; before that it waits its time.
    """
    truth = Truth()
    bodies = operator.get_all()
    own = [operator.process.pid] if operator.process else []
    for pid, what in processes_of(operator.directory, apart_from=own):
        truth.processes += 1
        truth.findings.append(f"process {pid} is left: {what}")
    left = [path.name for path in (operator.directory / "cache" / ".scratch").glob("*")]
    truth.expect(not left, f"scratch is left: {left}")
    living = {body["metadata"]["uid"] for body in bodies.values()}
    named = Named(
        {build for body in bodies.values() for build in _named(body)},
        ever=witness.named(),
        origin=lambda build_id: witness.origin(build_id, living=living),
    )
    journals = _examine_journals(operator.logs, named, truth)
    venvs = _examine_venvs(operator.venvs, named, truth)
    for name, body in bodies.items():
        _examine_object(name, body, journals, venvs, truth)
        _examine_history(name, body, witness, truth)
    truth.builds = len(named.ever)
    truth.untrue = len(witness.untrue)
    truth.findings += witness.untrue
    if swept:
        truth.findings += [f"{count} orphans: {kind}" for kind, count in truth.orphans.items()]
    return truth


def processes_of(directory: Path, *, apart_from: list[int]) -> Iterator[tuple[int, str]]:
    """Find every process that has to do with a directory: launchers, commands and their daemons.

    Their environment or arguments name it (HOME, argv), they stand in it or run from it, or they
    hold a file below it open: a launcher writes its errors where the operator does.
    """
    marks = (f"{directory}/".encode(), f"={directory}\0".encode())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) in (os.getpid(), *apart_from):
            continue
        texts = (_read(entry / "environ"), _read(entry / "cmdline"))
        links = [_link(entry / name) for name in ("cwd", "exe", "root")]
        with suppress(OSError):
            links += [_link(link) for link in (entry / "fd").iterdir()]
        marked = any(mark in text for mark in marks for text in texts)
        if marked or any(link.startswith(f"{directory}/") for link in links):
            yield int(entry.name), texts[1].replace(b"\0", b" ").decode(errors="replace")[:200]


def _examine_journals(
    directory: Path, named: Named, truth: Truth
) -> dict[str, list[dict[str, Any]]]:
    journals = {}
    for path in sorted(directory.glob("*.ndjson")):
        build_id = f"build_{path.stem.upper()}"
        events = _events(path, build_id, truth, whole=build_id in named)
        named.ever.add(build_id)
        truth.lines += len(events)
        _examine_ids(build_id, [event["id"] for event in events], truth)
        _examine_noise(build_id, events, truth)
        if build_id in named:
            journals[build_id] = events
            _examine_ends(build_id, events, truth)
        else:
            truth.orphans[f"journals {named.origin(build_id)}"] += 1
    return journals


def _events(path: Path, build_id: str, truth: Truth, *, whole: bool) -> list[dict[str, Any]]:
    text = path.read_bytes()
    lines = text.split(b"\n")
    if lines.pop():
        # What is orphaned nobody has healed: its last line may be torn.
        truth.expect(not whole, f"{build_id}: its last line is torn")
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        truth.findings.append(f"{build_id}: its journal cannot be read: {error}")
        return []


def _examine_ids(build_id: str, ids: list[int], truth: Truth) -> None:
    missing = set(range(1, max(ids, default=0) + 1)) - set(ids)
    doubled = len(ids) - len(set(ids))
    truth.lost += len(missing)
    truth.doubled += doubled
    truth.expect(not missing, f"{build_id}: ids are missing: {sorted(missing)[:5]}")
    truth.expect(not doubled, f"{build_id}: {doubled} ids are there twice")
    truth.expect(ids == sorted(ids), f"{build_id}: its ids do not ascend")


def _examine_noise(build_id: str, events: list[dict[str, Any]], truth: Truth) -> None:
    """Compare the lines that a package has printed, ``noise K of N``, with those that are there."""
    printed = [event["message"].split() for event in events if event["type"] == "build.log"]
    noise = [words for words in printed if words[:1] == [NOISE]]
    if not noise:
        return
    numbers = [int(words[1]) for words in noise]
    # The whole of it, unless something ended the build before: then no more than its tail is lost.
    succeeded = events[-1].get("status") == "active"
    expected = range(int(noise[0][3]) if succeeded else max(numbers) + 1)
    lost, doubled = set(expected) - set(numbers), len(numbers) - len(set(numbers))
    truth.lost += len(lost)
    truth.doubled += doubled
    truth.expect(not lost, f"{build_id}: {len(lost)} printed lines are lost")
    truth.expect(not doubled, f"{build_id}: {doubled} printed lines are there twice")
    truth.expect(numbers == sorted(numbers), f"{build_id}: printed lines are not in their order")


def _examine_ends(build_id: str, events: list[dict[str, Any]], truth: Truth) -> None:
    types = [event["type"] for event in events]
    truth.expect(types[:1] == ["build.created"], f"{build_id} does not begin: {types[:1]}")
    truth.expect(types[-1:] == ["build.completed"], f"{build_id} has no end: {types[-1:]}")
    completed = types.count("build.completed")
    truth.expect(completed <= 1, f"{build_id} ends {completed} times")


def _examine_venvs(directory: Path, named: Named, truth: Truth) -> set[str]:
    """Check that each venv was verified and runs; the builds that have one."""
    verified = set()
    for path in sorted(directory.glob("*/*")):
        build_id = f"build_{path.name.upper()}"
        if build_id not in named:
            truth.orphans[f"venvs {named.origin(build_id)}"] += 1
            continue
        receipt = _json(path / "ade-runtime" / "build.json")
        truth.expect(receipt.get("build_id") == build_id, f"{path} was not verified")
        truth.expect((path / "ade-runtime" / "packages.txt").is_file(), f"{path}: no packages.txt")
        ran = subprocess.run(
            [path / "bin" / "python", "-I", "-B", "-c", _USES_THE_VENV],
            capture_output=True,
            text=True,
            check=False,
        )
        truth.expect(ran.returncode == 0, f"{path} does not run: {ran.stderr[-200:]}")
        verified.add(build_id)
    return verified


def _examine_object(
    name: str,
    body: Mapping[str, Any],
    journals: Mapping[str, list[dict[str, Any]]],
    venvs: set[str],
    truth: Truth,
) -> None:
    status = body["status"]
    generation = body["metadata"]["generation"]
    truth.expect(status["observedGeneration"] == generation, f"{name}: an old generation")
    for build_id in _named(body):
        own = made_at(build_id) >= datetime.fromisoformat(body["metadata"]["creationTimestamp"])
        truth.expect(own, f"{name}: {build_id} is of an earlier object of the name")
    for finding in contradictions(body):
        truth.findings.append(f"{name}: {finding}")
    build = status.get("build")
    for row in [*([build] if build else []), *status.get("history", [])]:
        _examine_row(name, row, journals, truth)
    if build and build["id"] in journals:
        lines, told = len(journals[build["id"]]), (status.get("log") or {}).get("lines")
        truth.expect(told == lines, f"{name}: status.log.lines is {told}, its journal has {lines}")
    active = status.get("active")
    if active:
        path = Path(active["venvPath"])
        receipt = _json(path / "ade-runtime" / "build.json")
        truth.expect(active["buildId"] in venvs, f"{name}: its active build is not there")
        same = receipt.get("fingerprint", {}).get("value") == active["fingerprint"]
        truth.expect(same, f"{name}: the active build has another fingerprint than its receipt")


def _examine_row(
    name: str,
    row: Mapping[str, Any],
    journals: Mapping[str, list[dict[str, Any]]],
    truth: Truth,
) -> None:
    build_id = row["id"]
    truth.expect(row["status"] in _ENDED, f"{name}: {build_id} is left {row['status']}")
    if not journals.get(build_id):
        truth.findings.append(f"{name}: {build_id} is in its status and has no journal")
        return
    end = journals[build_id][-1]
    reason = row.get("reason") or (row.get("failure") or {}).get("reason")
    told, written = (row["status"], reason), (end.get("status"), end.get("reason"))
    truth.expect(told == written, f"{name}: {build_id} is {told}; by its journal {written}")


def contradictions(body: Mapping[str, Any]) -> Iterator[str]:
    """Tell what in one status cannot be so at once, at rest or at any other moment."""
    status = body.get("status") or {}
    if not status.get("conditions"):
        return
    observed = status["observedGeneration"]
    if observed > body["metadata"]["generation"]:
        yield f"observedGeneration {observed} is ahead"
    conditions = {row["type"]: row["status"] == "True" for row in status["conditions"]}
    if any(row["observedGeneration"] != observed for row in status["conditions"]):
        yield "a condition is of another generation than the status"
    summary = [kind for kind in ("Ready", "Reconciling", "Stalled") if conditions.get(kind)]
    if len(summary) != 1:
        yield f"it is {' and '.join(summary) or 'none of Ready, Reconciling and Stalled'}"
    if conditions.get("Available", False) != bool(status.get("active")):
        yield "Available and active disagree"
    if conditions.get("Ready"):
        yield from _not_ready_at_all(status)
    build = status.get("build") or {}
    if build.get("status") in ("queued", "building") and not conditions.get("Reconciling"):
        yield "a build is under way, and it is not Reconciling"
    if build.get("status") in _ENDED and status.get("step"):
        yield "its build has ended, and a step runs"


def _not_ready_at_all(status: Mapping[str, Any]) -> Iterator[str]:
    if status["phase"] != "Active":
        yield f"Ready, and the phase is {status['phase']}"
    if (status.get("active") or {}).get("fingerprint") != status["fingerprint"]["value"]:
        yield "Ready, and the active build is of another fingerprint"


def _examine_history(name: str, body: Mapping[str, Any], witness: Witness, truth: Truth) -> None:
    """See that the builds that were named are those that are.

    History drops the oldest only, and never the active build.
    """
    now = _named(body, with_active=False)
    ever = sorted(witness.named_by(body["metadata"]["uid"]) | set(now), reverse=True)
    active = (body["status"].get("active") or {}).get("buildId")
    kept = [build for number, build in enumerate(ever) if number <= HISTORY or build == active]
    truth.expect(now == kept, f"{name}: status has {now}, of {ever}; active is {active}")


def _named(body: Mapping[str, Any], *, with_active: bool = True) -> list[str]:
    status = body.get("status") or {}
    rows = [*([status["build"]] if status.get("build") else []), *status.get("history", [])]
    named = [row["id"] for row in rows]
    if with_active and status.get("active"):
        named.append(status["active"]["buildId"])
    return named


def made_at(build_id: str) -> datetime:
    """Read when a build was queued from its id, a ULID: https://github.com/ulid/spec."""
    milliseconds = 0
    for character in build_id.removeprefix("build_")[:10]:
        milliseconds = milliseconds * 32 + _CROCKFORD_BASE32.index(character)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone by now
        return b""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
