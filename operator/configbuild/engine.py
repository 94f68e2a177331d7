"""Run one build: its plan, step by step, to a verified venv or to nothing.

The engine knows no queue, no cluster and no HTTP. It gets a request, says what happens as events,
and returns a venv or raises. Whatever ends it early (a failing command, the timeout, cancellation)
leaves no process and no directory behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from configbuild.caches import hold
from configbuild.cage import Cage, Limits, Reach
from configbuild.durations import format_duration
from configbuild.errors import BuildTimeoutError, CommandError, ConfigBuildError, StepError
from configbuild.events import Body, BuildStep
from configbuild.evidence import Evidence
from configbuild.failures import Ending, classify
from configbuild.files import read_plain, remove_tree
from configbuild.fingerprint import Fingerprint
from configbuild.installers import (
    Access,
    Argument,
    PlannedCommand,
    Toolchain,
    WheelIn,
    lacks_wheels,
    uv_index_config,
)
from configbuild.layout import BuildPaths, IndexPaths
from configbuild.memory import oom_kills
from configbuild.model import (
    BuildId,
    BuildSpec,
    ConfigKey,
    RequirementSource,
    Step,
    StepStatus,
    Stream,
    Trigger,
)
from configbuild.origins import Archive, LocalTree, Repository
from configbuild.outcome import SAFE_MODE, BuiltVenv
from configbuild.plan import PlannedStep, make_plan
from configbuild.process import Command, CommandExit, Launcher
from configbuild.provenance import Provenance, write_provenance
from configbuild.receipt import CommandRecord, EngineFacts, StepRecord, installed, wheel_name
from configbuild.requirements import requirement_name
from configbuild.sandbox import environment_for, make_cage, source_cage, step_environment
from configbuild.sources import Ran, ResolvedSources, Workplace
from configbuild.trees import Tree
from configbuild.wheels import KeptWheels, wheel_key

# How many of a command's last lines a failure's message quotes: enough for the error of pip or uv,
# few enough for a status that stays small.
_QUOTED_LINES = 8

# In the place of what building a wheel says.
_KEPT = b"Using the wheel that an earlier build made of the same source tree\n"

_REASONS = {
    Step.FETCH_CONFIG: "FetchConfigFailed",
    Step.CREATE_VENV: "CreateVenvFailed",
    Step.UPGRADE_PIP: "UpgradePipFailed",
    Step.INSTALL_ENGINE: "InstallEngineFailed",
    Step.INSTALL_CONFIG: "InstallConfigFailed",
    Step.VERIFY_IMPORTS: "VerifyImportsFailed",
    Step.COLLECT_METADATA: "CollectMetadataFailed",
}


class StepOutput(Protocol):
    """Where the output of a step's commands goes; see :class:`configbuild.output.OutputSink`."""

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Take output, in a reader thread."""

    def end(self, stream: Stream) -> None:
        """Take notice that a command writes no more to ``stream``."""

    def tail(self) -> list[str]:
        """Give the last lines of the step."""

    def sample(self) -> tuple[str, ...]:
        """Give the lines that tell most of a failure: the last, and what looks like errors."""


class BuildReport(Protocol):
    """Whom a running build tells what happens."""

    def emit(self, body: Body) -> None:
        """Record an event."""

    def step_output(self, step: Step) -> StepOutput:
        """Open the log of a step."""

    def sync(self) -> None:
        """Bring all that was recorded to disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """Everything one build needs to know.

    ``uid`` is the object's; empty without a cluster. Without ``sandbox`` commands may do what the
    operator may, within no ``limits``.
    """

    build_id: BuildId
    key: ConfigKey
    uid: str
    trigger: Trigger
    spec: BuildSpec
    fingerprint: Fingerprint
    sources: ResolvedSources
    paths: BuildPaths
    tools: Toolchain
    environment: Mapping[str, str]
    grace_s: float = 5.0
    safe_mode: bool = False
    limits: Limits = field(default_factory=Limits)
    sandbox: bool = True


async def run_build(request: BuildRequest, report: BuildReport) -> BuiltVenv:
    """Run all steps and return the verified venv.

    :class:`StepError` says which step ended badly and how (its event has been emitted);
    cancellation ends the whole process tree (SIGTERM, ``grace_s``, SIGKILL) before it is passed on.
    In either case venv and scratch are gone when this returns.
    """
    if request.safe_mode:
        raise StepError(
            "the operator runs in safe mode (ADE_SAFE_MODE) and starts no process; this is built"
            " once safe mode is off",
            reason=SAFE_MODE,
        )
    run = _Run(request, report)
    # Shielded: a second cancellation must not leave half a venv behind.
    try:
        try:
            return await run.to_verified_venv()
        finally:
            run.let_caches_go()
            await asyncio.shield(asyncio.to_thread(remove_tree, request.paths.scratch))
    except BaseException:
        await asyncio.shield(asyncio.to_thread(remove_tree, request.paths.venv))
        raise


def step_reason(step: Step) -> str:
    """Give the reason of a failure for which nothing more precise is known."""
    return _REASONS[step]


class _Run:
    """The state of one run: what was done so far, and what the next step needs of it."""

    def __init__(self, request: BuildRequest, report: BuildReport) -> None:
        self.request = request
        self.report = report
        self.steps: list[StepRecord] = []
        self.engine: EngineFacts | None = None
        self.verified: datetime | None = None
        self.started = datetime.now(UTC)
        self.environment = step_environment(request.paths, request.environment)
        self.kept_wheels = KeptWheels(root=request.paths.kept_wheels)
        self.wheel_keys: dict[Path, str] = {}
        self.evidence = Evidence(wheelhouse=request.tools.wheelhouse)
        self.caches_lock: int | None = None
        self.oom_kills_before = oom_kills()

    async def to_verified_venv(self) -> BuiltVenv:
        request = self.request
        plan = make_plan(request.spec, paths=request.paths, tools=request.tools)
        step = plan.steps[0].step
        limit = asyncio.timeout(request.spec.timeout_s)
        try:
            # Copying and starting a process take about as long; neither has to wait.
            async with limit, self.preparing() as prepared, await Launcher.start() as launcher:
                await prepared
                if request.tools.wheelhouse is None:
                    await request.sources.index.check()
                for planned in plan.steps:
                    step = planned.step
                    await self.run_step(planned, launcher)
        except TimeoutError:
            if not limit.expired():
                # A file system's, not ours.
                raise
            raise BuildTimeoutError(
                f"the build took longer than {format_duration(request.spec.timeout_s)}"
                f" (spec.timeout); step {step} was running",
                hint="raise spec.timeout, if what was running is known to take that long",
            ) from None
        return self.finish()

    @contextlib.asynccontextmanager
    async def preparing(self) -> AsyncIterator[asyncio.Future[None]]:
        """Run :meth:`prepare` meanwhile; gives what to await before anything needs it.

        However the block ends, it ends after that thread, since cleaning up follows.
        """
        preparing = asyncio.create_task(asyncio.to_thread(self.prepare))
        try:
            yield asyncio.shield(preparing)
        finally:
            await asyncio.wait({preparing})

    @property
    def all_anew(self) -> bool:
        """Whether nothing is taken that an earlier build has made."""
        return self.request.trigger in (Trigger.FORCED, Trigger.EXPIRED)

    def prepare(self) -> None:
        """Lay out caches and scratch: copies of the source trees, and the constraints."""
        paths = self.request.paths
        for folder in (paths.home, paths.tmp, paths.engine_wheels, paths.config_wheels):
            folder.mkdir(parents=True)
        self.caches_lock = hold(paths)
        if self.all_anew:
            remove_tree(paths.kept_bytecode)
        paths.kept_bytecode.mkdir(exist_ok=True)
        paths.passing_caches.uv.mkdir(parents=True)
        paths.passing_caches.pip.mkdir()
        # A command is let into what is there, never into the folder around it, which others share.
        paths.venv.mkdir(parents=True)
        paths.lookup.mkdir()
        for file in (paths.metadata, paths.pins, paths.pip_report):
            file.touch()
        if (tree := self.request.sources.engine) is not None:
            tree.copy_to(paths.engine_tree)
            self.take_wheel(tree, paths.engine_wheels)
        if (tree := self.request.sources.config) is not None:
            tree.copy_to(paths.config_tree)
            self.take_wheel(tree, paths.config_wheels)
        elif self.request.sources.remote is not None:
            paths.config_wheels.mkdir(parents=True, exist_ok=True)
        self.prepare_index(paths.index)
        constraints = self.request.spec.install.constraints
        paths.constraints.write_text("".join(f"{line}\n" for line in constraints))

    def prepare_index(self, place: IndexPaths) -> None:
        """Lay out what commands need that have credentials for an index."""
        access = self.request.sources.index
        if access.credentials is None:
            return
        for folder in (place.home, place.tmp):
            folder.mkdir(parents=True)
        place.config.write_text(uv_index_config(self.request.spec.install.index.urls))
        if access.ca is not None:
            place.ca.write_bytes(access.ca)

    def let_caches_go(self) -> None:
        """From now on they may be trimmed."""
        if self.caches_lock is not None:
            os.close(self.caches_lock)

    def take_wheel(self, tree: Tree, into: Path) -> None:
        """Take the wheel that an earlier build made of the same tree, unless all is to be anew."""
        key = wheel_key(tree.digest, self.request.tools.interpreter, self.request.spec.install)
        self.wheel_keys[into] = key
        if not self.all_anew:
            self.kept_wheels.take(key, into)

    async def run_step(self, planned: PlannedStep, launcher: Launcher) -> None:
        if planned.skipped is not None:
            self.skip(planned)
            return
        record = StepRecord(name=planned.step, status=StepStatus.RUNNING)
        self.steps.append(record)
        self.emit(planned, StepStatus.RUNNING, planned.message)
        started = time.monotonic()
        try:
            if planned.step is Step.FETCH_CONFIG:
                await self.fetch_config(record, launcher)
            for command in planned.commands:
                await self.run_command(command, planned.step, record, launcher)
            # Before ``after``, which writes the receipt with all steps in it.
            record.status, record.duration_ms = StepStatus.SUCCEEDED, _milliseconds(started)
            await asyncio.to_thread(self.after, planned.step)
        except BaseException as error:
            record.duration_ms = _milliseconds(started)
            self.fail(planned, record, error)
            raise
        record.duration_ms = _milliseconds(started)
        self.emit(
            planned,
            StepStatus.SUCCEEDED,
            planned.message,
            duration_ms=record.duration_ms,
            exit_code=record.commands[-1].exit_code if record.commands else None,
        )
        await asyncio.to_thread(self.report.sync)

    async def fetch_config(self, record: StepRecord, launcher: Launcher) -> None:
        """Have the remote source fetched; its commands run like all others, by its own needs."""
        remote, paths = self.request.sources.remote, self.request.paths
        assert remote is not None
        output = self.report.step_output(Step.FETCH_CONFIG)

        async def run(
            argv: Sequence[str], *, environment: Mapping[str, str], directory: Path, reach: Reach
        ) -> Ran:
            caged = self.request.sandbox
            cage = source_cage(reach, self.request.limits) if caged else None
            command = Command(argv=tuple(argv), env=environment, cwd=directory, cage=cage)
            its_output = self.report.step_output(Step.FETCH_CONFIG)  # with a tail of its own
            ended = await launcher.run(command, its_output, grace_s=self.request.grace_s)
            duration_ms = round(ended.duration_s * 1000)
            record.commands.append(
                CommandRecord(argv=command.argv, exit_code=ended.status, duration_ms=duration_ms)
            )
            return Ran(status=ended.status, tail=its_output.tail())

        def say(line: str) -> None:
            output.feed(Stream.STDOUT, f"{line}\n".encode())

        await asyncio.to_thread(paths.fetched.mkdir)
        await remote.fetch(
            Workplace(tree=paths.config_tree, scratch=paths.fetched, run=run, say=say)
        )
        output.end(Stream.STDOUT)

    async def run_command(
        self, planned: PlannedCommand, step: Step, record: StepRecord, launcher: Launcher
    ) -> None:
        output = self.report.step_output(step)
        if planned.makes is not None and any(planned.makes.glob("*.whl")):
            output.feed(Stream.STDOUT, _KEPT)
            output.end(Stream.STDOUT)
            return
        if planned.compiles_tools is not None:
            await self.compile_tools(planned.compiles_tools, step, record, launcher)
        ended = await self.launch(planned, output, launcher)
        record.commands.append(
            CommandRecord(
                argv=_argv(planned),
                exit_code=ended.status,
                duration_ms=round(ended.duration_s * 1000),
            )
        )
        if ended.status == 0 or planned.tolerated:
            await asyncio.to_thread(self.keep_wheel, planned)
            return
        if planned.without_wheels and lacks_wheels(output.tail()):
            for instead in planned.without_wheels:
                await self.run_command(instead, step, record, launcher)
            return
        raise self.command_error(_argv(planned), step, ended, output)

    async def compile_tools(
        self, planned: PlannedCommand, step: Step, record: StepRecord, launcher: Launcher
    ) -> None:
        """Run what compiles build tools, if there are others than when it last ran."""
        there = await asyncio.to_thread(self.tools_there)
        noted = self.request.paths.compiled_tools
        if not there or await asyncio.to_thread(read_plain, noted, len(there)) == there:
            return
        await self.run_command(planned, step, record, launcher)
        # Also after a failure, which would only come again, and take its time in each build.
        await asyncio.to_thread(noted.write_bytes, there)

    def tools_there(self) -> bytes:
        """Tell which tools are there, and for which Python; nothing where none are.

        Whatever is added to the folder changes its time; bytecode goes into folders below. Code of
        packages can change that time, but the bytecode of its tools too, which no other build has.
        """
        try:
            folder = self.request.paths.unpacked_tools.lstat()
        except FileNotFoundError:
            return b""
        return f"{self.request.tools.interpreter.version} {folder.st_mtime_ns}".encode()

    def command_error(
        self, argv: tuple[str, ...], step: Step, ended: CommandExit, output: StepOutput
    ) -> CommandError:
        """Say why a command failed: a line that tells most, then the last lines of its output."""
        failure = classify(
            Ending(
                argv=argv,
                step=step,
                exit_code=ended.status,
                signal=ended.signal,
                lines=output.sample(),
                otherwise=step_reason(step),
                engine=self.engine.name if self.engine else "",
                oom_kills=self.oom_kills(),
            )
        )
        return CommandError(
            "\n".join([failure.headline, *output.tail()[-_QUOTED_LINES:]]),
            reason=failure.reason,
            exit_code=ended.status,
            hint=failure.hint,
        )

    def oom_kills(self) -> int | None:
        """Count the processes that were killed for want of memory while this build ran."""
        before, now = self.oom_kills_before, oom_kills()
        return None if before is None or now is None else now - before

    async def launch(
        self, planned: PlannedCommand, output: StepOutput, launcher: Launcher
    ) -> CommandExit:
        paths = self.request.paths
        login: Mapping[str, str] = {}
        if planned.access is Access.FETCH:
            installer = self.request.spec.install.installer
            login = self.request.sources.index.environment(installer, paths.index.ca)
        command = Command(
            argv=_argv(planned),
            env={**environment_for(planned.access, paths, self.environment), **login},
            cwd=paths.scratch,
            cage=self.cage(planned),
        )
        return await launcher.run(command, output, grace_s=self.request.grace_s)

    def keep_wheel(self, planned: PlannedCommand) -> None:
        # A tree that is fetched has no digest before, so its wheel is not kept.
        if planned.makes in self.wheel_keys:
            assert planned.makes is not None
            self.kept_wheels.keep(self.wheel_keys[planned.makes], _only_wheel(planned.makes))

    def cage(self, planned: PlannedCommand) -> Cage | None:
        request = self.request
        if not request.sandbox:
            return None
        return make_cage(
            planned,
            paths=request.paths,
            tools=request.tools,
            index_urls=request.spec.install.index.urls,
            environment=self.environment,
            limits=request.limits,
        )

    def after(self, step: Step) -> None:
        """Take down what a step made and a later one needs."""
        paths, sources = self.request.paths, self.request.sources
        self.evidence.take_pip_report(paths.pip_report)
        if step is Step.INSTALL_ENGINE:
            if sources.engine is not None:
                self.take_built(paths.engine_wheels, LocalTree(digest=sources.engine.digest))
            self.engine = installed(self.site_packages, self.engine_name())
            paths.engine_facts.write_text(json.dumps(asdict(self.engine)))
            paths.engine_hold.write_text(self.engine.as_constraint())
        elif step is Step.INSTALL_CONFIG:
            if sources.remote is not None:
                self.take_built(paths.config_wheels, sources.remote.origin)
            elif sources.config is not None:
                self.take_built(paths.config_wheels, LocalTree(digest=sources.config.digest))
        elif step is Step.COLLECT_METADATA:
            self.evidence.take_looked_up(paths.looked_up)
            self.write_provenance()

    def take_built(self, wheels: Path, source: Repository | Archive | LocalTree) -> None:
        """Take down what a wheel was built from."""
        self.evidence.take_built(_only_wheel(wheels), source)

    def write_provenance(self) -> None:
        """Write what is known of the venv into it; from then on it counts as verified."""
        request = self.request
        assert self.engine is not None
        # The receipt and the pointer to the venv say the same.
        self.verified = datetime.now(UTC)
        build = Provenance(
            build_id=request.build_id,
            key=request.key,
            uid=request.uid,
            trigger=request.trigger,
            fingerprint=request.fingerprint,
            interpreter=request.tools.interpreter,
            engine=self.engine,
            started=self.started,
            verified=self.verified,
            environment=self.environment,
            steps=self.steps,
            index_urls=request.spec.install.index.urls,
        )
        write_provenance(build, self.evidence, request.paths)

    def engine_name(self) -> str:
        source = self.request.spec.engine
        if isinstance(source, RequirementSource):
            return requirement_name(source.requirement)
        return wheel_name(_only_wheel(self.request.paths.engine_wheels))

    @property
    def site_packages(self) -> Path:
        return self.request.paths.site_packages(self.request.tools.interpreter.minor)

    def finish(self) -> BuiltVenv:
        assert self.engine is not None
        assert self.verified is not None
        return BuiltVenv(
            path=self.request.paths.venv,
            python=self.request.tools.interpreter.version,
            engine=f"{self.engine.name} {self.engine.version}",
            built_at=self.verified,
        )

    def skip(self, planned: PlannedStep) -> None:
        self.steps.append(StepRecord(name=planned.step, status=StepStatus.SKIPPED))
        assert planned.skipped is not None
        self.emit(planned, StepStatus.SKIPPED, planned.skipped, duration_ms=0)

    def fail(self, planned: PlannedStep, record: StepRecord, error: BaseException) -> None:
        record.status = StepStatus.FAILED
        exit_code = error.exit_code if isinstance(error, StepError) else None
        match error:
            case ConfigBuildError():
                message = error.message.splitlines()[0]
            case asyncio.CancelledError():
                message = "was ended before it was done"
            case _:
                message = f"{type(error).__name__}: {error}"
        self.emit(
            planned,
            StepStatus.FAILED,
            message,
            duration_ms=record.duration_ms,
            exit_code=exit_code,
        )

    def emit(
        self,
        planned: PlannedStep,
        status: StepStatus,
        message: str,
        *,
        duration_ms: int | None = None,
        exit_code: int | None = None,
    ) -> None:
        self.report.emit(
            BuildStep(
                step=planned.step,
                status=status,
                message=message,
                duration_ms=duration_ms,
                exit_code=exit_code,
            )
        )


def _argv(planned: PlannedCommand) -> tuple[str, ...]:
    return tuple(_resolve(argument) for argument in planned.argv)


def _resolve(argument: Argument) -> str:
    return str(_only_wheel(argument.directory)) if isinstance(argument, WheelIn) else argument


def _only_wheel(directory: Path) -> Path:
    wheels = sorted(directory.glob("*.whl"))
    if len(wheels) != 1:
        found = ", ".join(wheel.name for wheel in wheels) or "none"
        raise StepError(
            f"building the source tree should have left one wheel; found: {found}",
            reason="BuildBackendFailed",
            hint="mend the pyproject.toml of the tree: it must build to one wheel",
        )
    return wheels[0]


def _milliseconds(since: float) -> int:
    return round((time.monotonic() - since) * 1000)
