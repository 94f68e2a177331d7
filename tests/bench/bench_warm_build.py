"""A warm build with uv: the sample engine and config by our engine, against ``warm_build.sh``.

Both run the same commands (checked, word by word) in the same environment, on one file system and
the same uv caches, and leave venvs with the same files. Builds come first and fill the cache.
Wheels come from a directory, since what an index takes to answer would only blur the ratio; with a
proxy that nobody listens at, whoever asked for more would fail. ``--index`` has the index asked.

Ours is timed from the declaration (read the spec, make the digests of the sources, begin the
journal) to the return of ``Attempt.run()``. The script makes no digests, has no journal or receipt
and syncs nothing to disk. What is still to be written by whoever ran before is written first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from configbuild.builds.attempt import Attempt
from configbuild.builds.state import Declared
from configbuild.builds.workshop import Reader, Workshop, make_reader, make_workshop
from configbuild.cli.manifests import Manifests, read_manifests
from configbuild.events import BuildCreated, BuildStep, Event
from configbuild.interpreters import probe
from configbuild.journal import Journals
from configbuild.layout import BuildPaths
from configbuild.model import BuildId, BuildStatus, ConfigKey, Installer, StepStatus, Trigger
from configbuild.receipt import read_receipt
from configbuild.sandbox import step_environment
from configbuild.settings import Settings
from configbuild.steps import VERIFY_IMPORTS
from tests.bench.report import Figure, print_figures, print_table

SAMPLES = Path(__file__).parent.parent.parent / "manifests" / "samples"
SCRIPT = Path(__file__).with_name("warm_build.sh")
KEY = ConfigKey("default", "invoices")
TARGET_RATIO = 1.25

# The port "discard": who asks there is refused at once.
NOWHERE = "http://127.0.0.1:9"

# bash writes a line for each command that the script runs, with the time, to a file of its own.
TRACED = """\
exec 9>"$1"; BASH_XTRACEFD=9; PS4='@$EPOCHREALTIME '; script=$2; shift 2; set -x; . "$script"
"""
TRACE_LINE = re.compile(r"@+(\d+\.\d+) (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTime:
    """A command of a build; its paths stand as ``VENV`` and ``SCRATCH``."""

    argv: tuple[str, ...]
    took_s: float

    @property
    def title(self) -> str:
        """Its program and verb."""
        scripts = [Path(word).stem for word in self.argv if word.endswith(".py")]
        verbs = [word for word in self.argv[1:3] if word.isalpha()]
        return scripts[0] if scripts else " ".join([Path(self.argv[0]).name, *verbs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that was made; ``around_s`` is what was spent beside its commands, by its parts.

    ``cpu_s`` is that of all processes that took part.
    """

    took_s: float
    cpu_s: float
    venv: Path
    output: str
    commands: tuple[CommandTime, ...] = ()
    around_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """The project's way."""

    settings: Settings
    manifests: Manifests
    reader: Reader
    workshop: Workshop
    journals: Journals

    async def build(
        self,
        environment: Mapping[str, str],
        *,
        trigger: Trigger = Trigger.FORCED,
        config: Mapping[str, Any] | None = None,
    ) -> Built:
        """Make one build; its parts are in its journal and in its receipt.

        ``config`` stands in the place of the declared one.
        """
        workshop = replace(self.workshop, environment=environment)
        spec = dict(self.manifests.choose(KEY.name).spec)
        spec["config"] = config or spec["config"]
        build_id = BuildId.new()
        cpu_before_s, marks = processor_s(), [time.perf_counter()]
        wanted = await self.reader.read(Declared(key=KEY, uid="", generation=1, spec=spec))
        marks.append(time.perf_counter())
        journal = await asyncio.to_thread(self.journals.create, build_id)
        marks.append(time.perf_counter())
        attempt = Attempt(workshop.request(wanted, build_id, trigger), journal)
        outcome = await attempt.run()
        ended = datetime.now(UTC)
        marks.append(time.perf_counter())
        cpu_s = processor_s() - cpu_before_s
        assert outcome.status is BuildStatus.ACTIVE, outcome
        paths = self.settings.layout.build(KEY, build_id)
        events = list(self.journals.events(build_id))
        commands, around_s = _parts(events, paths, ended)
        return Built(
            took_s=marks[-1] - marks[0],
            cpu_s=cpu_s,
            venv=paths.venv,
            output=self.journals.path(build_id).read_text(),
            commands=commands,
            around_s={
                "read the spec, make digests": marks[1] - marks[0],
                "begin the journal": marks[2] - marks[1],
                **around_s,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The baseline: a directory of its own for each build, as the project does it."""

    root: Path
    settings: Settings
    config: Path

    async def build(self, environment: Mapping[str, str], *, traced: bool = False) -> Built:
        """Run the script; ``traced`` by bash, which says when it did what."""
        layout = self.settings.layout
        build_id = BuildId.new()
        paths = BuildPaths(
            venv=self.root / "script" / build_id.ulid,
            scratch=layout.scratch_root / build_id.ulid,
            cache=layout.cache / KEY.namespace,
            own_cache=layout.cache / KEY.namespace / "configs" / KEY.name,
        )
        log, trace = self.root / "script.log", self.root / "script.trace"
        shell = ("bash", "-c", TRACED, "bash", str(trace)) if traced else ("sh",)
        begun = time.time()
        with log.open("wb") as output:
            cpu_before_s = processor_s()
            started = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *shell,
                str(SCRIPT),
                *self._arguments(paths),
                env=step_environment(paths, environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            code = await process.wait()
            took_s = time.perf_counter() - started
            cpu_s = processor_s() - cpu_before_s
        told = log.read_text()
        assert code == 0, f"{SCRIPT.name} exited with {code}:\n{told}"
        commands, around_s = _traced_parts(trace, paths, begun, took_s) if traced else ((), {})
        return Built(
            took_s=took_s,
            cpu_s=cpu_s,
            venv=paths.venv,
            output=told,
            commands=commands,
            around_s=around_s,
        )

    def _arguments(self, paths: BuildPaths) -> list[str]:
        settings = self.settings
        return [
            str(settings.uv_bin),
            str(settings.python_bin),
            sys.executable,
            str(VERIFY_IMPORTS.parent),
            str(settings.wheelhouse or ""),
            str(settings.sources_dir / KEY.namespace / "engine"),
            str(self.config),
            str(paths.venv),
            str(paths.scratch),
            str(paths.kept_bytecode),
        ]


def processor_s() -> float:
    """Add up the processor time of this process and of all below it that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


COPY = "start, copy the sources"
CLEAN_UP = "clean up"


def _parts(
    events: Sequence[Event], paths: BuildPaths, ended: datetime
) -> tuple[tuple[CommandTime, ...], dict[str, float]]:
    """Take a build of ours apart: what its commands took, and what the time beside them went to."""
    receipt = read_receipt(paths.receipt)
    assert receipt is not None
    steps: list[dict[str, Any]] = [step for step in receipt["steps"] if step["commands"]]
    begun = {
        event.body.step: event.time
        for event in events
        if isinstance(event.body, BuildStep) and event.body.status is StepStatus.RUNNING
    }
    last_step = max(event.time for event in events if isinstance(event.body, BuildStep))
    assert isinstance(events[0].body, BuildCreated)
    ends = [*list(begun.values())[1:], last_step]
    around_s = {COPY: (next(iter(begun.values())) - events[0].time).total_seconds()}
    for step, begin, end in zip(steps, begun.values(), ends, strict=True):
        commands_s = sum(command["duration_ms"] for command in step["commands"]) / 1000
        around_s[f"{step['name']}: around"] = (end - begin).total_seconds() - commands_s
    around_s[CLEAN_UP] = (ended - last_step).total_seconds()
    commands = tuple(
        CommandTime(argv=_placeless(command["argv"], paths), took_s=command["duration_ms"] / 1000)
        for step in steps
        for command in step["commands"]
    )
    return commands, around_s


def _traced_parts(
    trace: Path, paths: BuildPaths, begun: float, took_s: float
) -> tuple[tuple[CommandTime, ...], dict[str, float]]:
    """Take a traced run of the script apart; commands are what it runs by a whole path."""
    found = [match for line in trace.read_text().splitlines() if (match := TRACE_LINE.match(line))]
    times = [*(float(match[1]) for match in found), begun + took_s]
    commands, gaps, last_end = [], [], begun
    for number, match in enumerate(found):
        argv = shlex.split(match[2])
        if argv[0].startswith("/"):
            gaps.append(times[number] - last_end)
            last_end = times[number + 1]
            took = last_end - times[number]
            commands.append(CommandTime(argv=_placeless(argv, paths), took_s=took))
    around_s = {COPY: gaps[0], CLEAN_UP: times[-1] - last_end}
    # Only between installing the engine and building the config does the script do something.
    around_s["install_engine: around"] = sum(gaps[1:])
    return tuple(commands), around_s


def _placeless(argv: Sequence[str], paths: BuildPaths) -> tuple[str, ...]:
    return tuple(
        word.replace(str(paths.venv), "VENV").replace(str(paths.scratch), "SCRATCH")
        for word in argv
    )


def _check_alike(ours: Built, script: Built) -> None:
    """See that both do the same: commands, and files of the venv, linked from the cache."""
    told = [" ".join(command.argv) for command in script.commands]
    assert told == [" ".join(command.argv) for command in ours.commands], (
        f"{SCRIPT.name} does not run the commands of a build: {told}"
    )
    assert _files(ours.venv) == _files(script.venv), "the venvs hold other files"
    assert _packages(ours.venv) == _packages(script.venv), "other packages are installed"
    for built in (ours, script):
        linked = next(built.venv.glob("lib/*/site-packages/openpyxl/__init__.py"))
        assert linked.stat().st_nlink > 1, f"{linked} is a copy: is the cache on another volume?"


def _check_warm(built: Built) -> None:
    """See that nothing was fetched or unpacked but the two wheels that the build itself made."""
    assert "Download" not in built.output, f"the cache is cold:\n{built.output}"
    prepared = re.findall(r"Prepared (\d+) package", built.output)
    assert prepared == ["1", "1"], f"unpacked {prepared}, expected the built wheels alone"


def _files(venv: Path) -> set[str]:
    site = next(venv.glob("lib/*/site-packages"))
    return {str(path.relative_to(site)) for path in site.rglob("*")}


def _packages(venv: Path) -> list[str]:
    return (venv / "ade-runtime" / "packages.txt").read_text().splitlines()


async def prepare(root: Path, *, index: bool) -> tuple[Ours, Script]:
    """Lay out the sources, the wheels and the directories of both."""
    wheelhouse = None if index else root / "wheels"
    settings = Settings(
        venvs_dir=root / "venvs",
        logs_dir=root / "logs",
        cache_dir=root / "cache",
        sources_dir=root / "sources",
        installer=Installer.UV,
        wheelhouse=wheelhouse,
    )
    engine = root / "sources" / KEY.namespace / "engine"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SAMPLES / "sources" / "engine", engine, ignore=ignored)
    manifests = read_manifests((SAMPLES / "local.yaml").read_bytes(), "local.yaml")
    reader = make_reader(settings, await probe([settings.python_bin]), manifests)
    spec = manifests.choose(KEY.name).spec
    wanted = await reader.read(Declared(key=KEY, uid="", generation=1, spec=spec))
    assert wanted.sources.config is not None
    config = root / "config"
    wanted.sources.config.copy_to(config)
    if wheelhouse is not None:
        fetch_wheels(wheelhouse, settings, _needed((engine, config)))
    ours = Ours(
        settings=settings,
        manifests=manifests,
        reader=reader,
        workshop=make_workshop(settings),
        journals=Journals(settings.layout.logs),
    )
    return ours, Script(root=root, settings=settings, config=config)


def _needed(trees: Sequence[Path]) -> set[str]:
    """Tell what the trees need to be built and to run."""
    projects = [tomllib.loads((tree / "pyproject.toml").read_text()) for tree in trees]
    own = {project["project"]["name"] for project in projects}
    return {
        requirement
        for project in projects
        for requirement in (
            *project["build-system"]["requires"],
            *project["project"]["dependencies"],
        )
        if Requirement(requirement).name not in own
    }


def fetch_wheels(wheelhouse: Path, settings: Settings, needed: Iterable[str]) -> None:
    """Have pip (run by uv) fetch wheels of these requirements and of all that they need."""
    argv = [str(settings.uv_bin), "tool", "run", "--no-progress", "--quiet"]
    argv += ["--python", str(settings.python_bin), "pip", "download", "--quiet"]
    argv += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(wheelhouse)]
    done = subprocess.run([*argv, *sorted(needed)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the wheels for the benchmark could not be had:\n{done.stderr}")


async def measure(root: Path, *, rounds: int, index: bool) -> list[Figure]:
    """Build in turns, and print what it took and where the time went."""
    ours, script = await prepare(root, index=index)
    environment = dict(os.environ)
    await ours.build(environment)  # compiles the tools of later builds
    _check_alike(await ours.build(environment), await script.build(environment, traced=True))
    if not index:
        environment = _cut_off(environment)
    ways: dict[str, Callable[[], Awaitable[Built]]] = {
        "ours": lambda: ours.build(environment),
        "script": lambda: script.build(environment),
        "traced": lambda: script.build(environment, traced=True),
    }
    found: dict[str, list[Built]] = {way: [] for way in ways}
    for turn in range(rounds):
        # Each way is the first as often as the others, should it matter who comes after whom.
        for way in [*ways][turn % 3 :] + [*ways][: turn % 3]:
            os.sync()
            built = await ways[way]()
            _check_warm(built)
            shutil.rmtree(built.venv)
            found[way].append(built)
    return _report(found)


def _cut_off(environment: Mapping[str, str]) -> dict[str, str]:
    """Have whoever asks anything of the network fail."""
    kept = {name: value for name, value in environment.items() if name.upper() != "NO_PROXY"}
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {**kept, **dict.fromkeys(proxies, NOWHERE)}


def _report(found: Mapping[str, Sequence[Built]]) -> list[Figure]:
    ours, script, traced = found["ours"], found["script"], found["traced"]
    times = [[built.took_s for built in builds] for builds in (ours, script)]
    cpu_times = [[built.cpu_s for built in builds] for builds in (ours, script)]
    ratios, cpu_ratios = _ratios(*times), _ratios(*cpu_times)
    ratio = statistics.median(ratios)
    print_table(
        f"Warm build with uv, seconds, {len(ours)} turns",
        ["way", "median", "fastest", "slowest"],
        [
            ("ours", *_spread(times[0])),
            (SCRIPT.name, *_spread(times[1])),
            ("ratio of a turn", *_spread(ratios)),
            ("ours, processor time", *_spread(cpu_times[0])),
            (f"{SCRIPT.name}, processor time", *_spread(cpu_times[1])),
            ("ratio of a turn, processor time", *_spread(cpu_ratios)),
        ],
    )
    rows = [
        *_rows(_command_times(ours), _command_times(traced)),
        *_rows(_around_times(ours), _around_times(traced)),
    ]
    totals = [sum(float(row[column]) for row in rows) for column in (1, 2, 3)]
    print_table(
        "Where the time goes, medians in ms (the script's are from runs traced by bash)",
        ["part", "ours", "script", "more"],
        [*rows, ("sum", *totals)],
    )
    return [
        Figure(
            what="warm build with uv",
            unit="s",
            ours=statistics.median(times[0]),
            baseline=statistics.median(times[1]),
            ratio=ratio,
            target=f"ratio <= {TARGET_RATIO}",
            met=ratio <= TARGET_RATIO,
        )
    ]


def _ratios(ours: Sequence[float], script: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(ours, script, strict=True)]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _rows(
    ours: Mapping[str, float], script: Mapping[str, float]
) -> list[tuple[str, float, float, float]]:
    return [
        (part, took, script.get(part, 0.0), took - script.get(part, 0.0))
        for part, took in ours.items()
    ]


def _command_times(builds: Sequence[Built]) -> dict[str, float]:
    return {
        f"{number}. {command.title}": 1000
        * statistics.median(built.commands[number - 1].took_s for built in builds)
        for number, command in enumerate(builds[0].commands, 1)
    }


def _around_times(builds: Sequence[Built]) -> dict[str, float]:
    return {
        part: 1000 * statistics.median(built.around_s[part] for built in builds)
        for part in builds[0].around_s
    }


def run(*, rounds: int = 7, index: bool = False) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-warm-build-") as name:
        return asyncio.run(measure(Path(name).resolve(), rounds=rounds, index=index))


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="builds of each way, in turns")
    parser.add_argument("--index", action="store_true", help="ask the package index, not a folder")
    options = parser.parse_args()
    print_figures(run(rounds=options.rounds, index=options.index))


if __name__ == "__main__":
    main()
