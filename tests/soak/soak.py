"""The operator, killed at random moments over many builds; then everything is looked at.

The operator and its API server are real, and so are builds, processes and signals. What happens is
drawn from a seed; when it happens depends on the machine too, so a seed brings back the like, not
the same.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.operation import Operator, condition_of, install_rights
from tests.packages import write_package
from tests.soak.truth import NOISE, Truth, contradictions, examine, processes_of
from tests.soak.witness import Witness

CONFIGS = ("invoices", "ledger", "payroll", "stock")

# Long enough for a build of these packages to begin and, often, to end.
LONGEST_LIFE_S = 1.5

# What a killed operator leaves is killed by the launchers, at once; a busy machine takes longer.
GONE_S = 15.0

# The first sweep comes 10 s after a start, when all has been looked at.
SWEPT_S = 60.0

# What one sweep takes into a history drops another record, whose venv goes with the next sweep.
SWEEPS = 2

# An id later than all: journals are swept after all venvs, and in the order of their ids, so that a
# sweep is over when this one is gone.
LAST_ULID = "7" + 25 * "z"

# Nothing that no status names may then stay, whatever patience is meant to have with it.
WITHOUT_PATIENCE = {
    "ADE_ORPHAN_GRACE_SECONDS": "0",
    "ADE_REPLACED_KEEP_SECONDS": "0",
    "ADE_RELIST_SECONDS": "1",
}

# Some builds wait their turn at the end; a build takes a second, or several on a busy machine.
SETTLED_S = 120.0

# After its last event a build's object is looked at once more, 2 s later.
_LOOK_AFTER_BUILD_S = 2.5

_DAEMON = """\
import os, signal, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Else uv would wait for it, as for any other who may still have something to print.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    while True:
        signal.pause()
time.sleep(0.5)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A package to build from; ``reason`` is why it fails, where it does."""

    name: str
    while_building: str = "pass"
    module_source: str = ""
    reason: str | None = None


def variants() -> list[Variant]:
    """Make the packages: quick, slow and loud ones, some that fail, some that leave daemons."""
    noise = f"for k in range({{0}}): print('{NOISE}', k, 'of', {{0}}, flush=True)"
    return [
        Variant(name="quick-1"),
        Variant(name="quick-2"),
        Variant(name="slow", while_building="import time; time.sleep(1.0)"),
        Variant(name="loud", while_building=noise.format(3000)),
        Variant(
            name="babbling", while_building=noise.format(40) + "; import time; time.sleep(.03)"
        ),
        Variant(name="daemon", while_building=_DAEMON),
        Variant(
            name="broken",
            while_building="raise SystemExit('there is a hole in rule 7')",
            reason="BuildBackendFailed",
        ),
        Variant(
            name="unimportable",
            module_source="raise ImportError('no rules')\n",
            reason="ImportFailed",
        ),
    ]


class Victim(Operator):
    """An operator that can be started without waiting for it, and dies at any moment."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path) -> None:
        super().__init__(cluster, namespace, directory)
        self.settings = self._settings  # read at each start
        self.starts = 0
        self._awaited = False

    def launch(self) -> None:
        """Start the process and return at once; each life has a log of its own."""
        self.starts += 1
        self.log_file = self.directory / f"operator-{self.starts}.log"
        self._awaited = False
        self.start()

    def await_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until it is ready; ``AssertionError`` if it ends instead."""
        self._awaited = True
        self.url = wait_until(self._served_at, what="the operator is ready", timeout_s=timeout_s)

    def _served_at(self) -> str | None:
        return super()._served_at() if self._awaited else "not asked"


class Moment(Enum):
    """After what an operator is killed, a random while later."""

    LAUNCH = 1
    READY = 4
    CHANGE = 5


@dataclass
class Soak:
    """One run: what is declared, and the dice."""

    operator: Victim
    kills: int
    dice: random.Random
    tell: Callable[[str], None]
    variants: list[Variant] = field(default_factory=variants)
    declared: dict[str, Variant] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    start_s: float = 2.0

    def run(self, witness: Witness) -> Truth:
        """Kill, settle, look."""
        write_package(self.operator.sources / "engine", "ade-engine")
        for variant in self.variants:
            source = f"{variant.module_source}VARIANT = {variant.name!r}\n"
            write_package(
                self.operator.sources / variant.name,
                "ade-config",
                module_source=source,
                while_building=variant.while_building,
            )
        for number in range(1, self.kills + 1):
            self.live_and_die(number)
        self.operator.launch()
        self.operator.await_ready()
        for name in CONFIGS:
            if name not in self.declared:
                self.apply(name)
        self.settle(witness)
        truth = examine(self.operator, witness)
        self.sweep()
        self.settle(witness)
        truth.take_up(examine(self.operator, witness, swept=True))
        self.expect_what_is_declared()
        self.delete_all(truth)
        self.end()
        truth.findings = self.findings + truth.findings
        return truth

    def live_and_die(self, number: int) -> None:
        """Have one operator live for a short while; sometimes the world changes meanwhile."""
        moment = self.dice.choices(list(Moment), [kind.value for kind in Moment])[0]
        if self.dice.random() < 0.3:
            self.change()
        begun = time.monotonic()
        self.operator.launch()
        if moment is Moment.LAUNCH:
            life_s = self.dice.uniform(0, 1.2 * self.start_s)
        else:
            self.operator.await_ready()
            self.start_s = time.monotonic() - begun
            life_s = self.dice.uniform(0, LONGEST_LIFE_S)
        if moment is Moment.CHANGE:
            for _ in range(self.dice.randint(1, 3)):
                self.change()
        time.sleep(life_s)
        how = self.die()
        self.tell(f"{number}: {how}, {life_s:.2f} s after {moment.name.lower()}")

    def die(self) -> str:
        """End the operator: mostly by SIGKILL, sometimes by SIGTERM or by both."""
        assert self.operator.process is not None
        dice = self.dice.random()
        if dice < 0.75:
            how = "SIGKILL"
        elif dice < 0.85:
            how = "SIGTERM, SIGKILL"
            self.operator.process.send_signal(signal.SIGTERM)
            time.sleep(self.dice.uniform(0, 0.5))
        else:
            how = "SIGTERM"
            code = self.operator.stop()
            # Before it listens to signals it may well die by one.
            if code not in (0, -signal.SIGTERM):
                self.findings.append(f"after SIGTERM the operator exited with {code}")
            self.none_is_left(how)
            return how
        self.operator.kill()
        self.none_is_left(how)
        return how

    def none_is_left(self, how: str) -> None:
        """See that no process outlives the operator."""
        directory = self.operator.directory
        try:
            wait_until(
                lambda: not list(processes_of(directory, apart_from=[])),
                what="every process of every build has ended",
                timeout_s=GONE_S,
            )
        except TimeoutError:
            left = [what for _, what in processes_of(directory, apart_from=[])]
            self.findings.append(f"{GONE_S:.0f} s after {how} there are still: {left}")

    def change(self) -> None:
        """Create, edit, delete, or delete and create again."""
        name = self.dice.choice(CONFIGS)
        dice = self.dice.random()
        if name in self.declared and dice < 0.2:
            self.delete(name)
            if dice < 0.1:
                return
        self.apply(name)

    def apply(self, name: str) -> None:
        """Apply a config with any of the packages."""
        variant = self.declared[name] = self.dice.choice(self.variants)
        self.operator.apply(name, {"engine": {"path": "engine"}, "config": {"path": variant.name}})

    def delete(self, name: str) -> None:
        """Delete a config."""
        del self.declared[name]
        namespace = self.operator.namespace
        self.operator.cluster.kubectl("delete", "cb", name, "-n", namespace)

    def settle(self, witness: Witness) -> None:
        """Wait until all is at rest."""
        try:
            wait_until_settled(self.operator, witness)
        except TimeoutError as error:
            self.findings.append(str(error))

    def sweep(self) -> None:
        """Have an operator without patience take over, and wait until it has swept."""
        self.end()
        self.operator.configure(**WITHOUT_PATIENCE)
        self.operator.launch()
        self.operator.await_ready()
        last = self.operator.logs / f"{LAST_ULID}.ndjson"
        try:
            for _ in range(SWEEPS):
                last.touch()
                wait_until(lambda: not last.exists(), what="a sweep is over", timeout_s=SWEPT_S)
        except TimeoutError as error:
            self.findings.append(str(error))

    def expect_what_is_declared(self) -> None:
        """See that each object has the right build, or says why it has none."""
        bodies = self.operator.get_all()
        if set(bodies) != set(self.declared):
            self.findings.append(f"there are {sorted(bodies)}, declared {sorted(self.declared)}")
        for name, variant in self.declared.items():
            row = condition_of(bodies[name], "Ready")
            told = None if row.get("status") == "True" else row.get("reason")
            # Two operators died while it was built: a third is not risked.
            if told not in (variant.reason, "Interrupted"):
                self.findings.append(f"{name}, of {variant.name}: {told}; not {variant.reason}")
            if told is None and self.built_variant(bodies[name]) != variant.name:
                self.findings.append(f"{name} is ready, and was not built from {variant.name}")

    def built_variant(self, body: dict[str, Any]) -> str | None:
        """Read from the venv itself what it was built from."""
        venv = Path(body["status"]["active"]["venvPath"])
        for path in venv.glob("lib/python*/site-packages/ade_config/__init__.py"):
            return path.read_text().split("VARIANT = ")[-1].strip().strip("'")
        return None

    def delete_all(self, truth: Truth) -> None:
        """Delete everything while the operator looks on: nothing of what it knew of may stay."""
        named = {
            row["id"].removeprefix("build_").lower()
            for body in self.operator.get_all().values()
            for row in [body["status"]["build"], *body["status"].get("history", [])]
        }
        for name in list(self.declared):
            self.delete(name)

        def left() -> set[str]:
            journals = {path.stem for path in self.operator.logs.glob("*.ndjson")}
            venvs = {path.name for path in self.operator.venvs.glob("*")}
            return (journals & named) | (venvs & set(CONFIGS))

        try:
            wait_until(lambda: not left(), what="the deleted are gone", timeout_s=GONE_S)
        except TimeoutError as error:
            truth.findings.append(f"{error}; left are {sorted(left())}")

    def end(self) -> None:
        """Stop the operator in order."""
        code = self.operator.stop()
        if code != 0:
            self.findings.append(f"asked to end, the operator exited with {code}")
        self.none_is_left("its end")


def run(
    cluster: Cluster,
    namespace: str,
    directory: Path,
    *,
    kills: int,
    seed: int,
    tell: Callable[[str], None] = print,
) -> Truth:
    """Soak an operator in a namespace with the CRD; prints the seed first, then one summary."""
    tell(f"soak: seed {seed}")
    install_rights(cluster, namespace)
    operator = Victim(cluster, namespace, directory)
    try:
        with Witness(cluster, namespace, contradictions) as witness:
            soak = Soak(operator=operator, kills=kills, dice=random.Random(seed), tell=tell)
            truth = soak.run(witness)
    finally:
        if operator.process is not None:
            operator.kill()
    for finding in truth.findings:
        tell(f"soak: {finding}")
    for kind, count in sorted(truth.orphans.items()):
        tell(f"soak: orphans: {count} {kind}")
    tell(
        f"soak: kills {kills}, builds {truth.builds}, lines {truth.lines}, lost {truth.lost},"
        f" doubled {truth.doubled}, processes left {truth.processes},"
        f" orphans {truth.orphans.total()}, untrue {truth.untrue}"
    )
    return truth


def wait_until_settled(operator: Operator, witness: Witness) -> None:
    """Wait until no object changes any more, and the witness has seen that."""
    still: dict[str, str] = {}
    since = time.monotonic()

    def settled() -> bool:
        nonlocal still, since
        bodies = operator.get_all()
        versions = {name: body["metadata"]["resourceVersion"] for name, body in bodies.items()}
        if versions != still or not all(_is_settled(body) for body in bodies.values()):
            still, since = versions, time.monotonic()
            return False
        seen = all(witness.has_seen(body) for body in bodies.values())
        return seen and time.monotonic() - since > _LOOK_AFTER_BUILD_S

    try:
        wait_until(settled, what="all is settled", timeout_s=SETTLED_S, interval_s=0.3)
    except TimeoutError as error:
        bodies = operator.get_all()
        left = {name: body.get("status") for name, body in bodies.items() if not _is_settled(body)}
        raise TimeoutError(f"{error}: {json.dumps(left)}") from None


def _is_settled(body: dict[str, Any]) -> bool:
    status = body.get("status") or {}
    current = status.get("observedGeneration") == body["metadata"]["generation"]
    done = [condition_of(body, kind).get("status") == "True" for kind in ("Ready", "Stalled")]
    return current and any(done)
