"""A rebuild of which only the config has changed, against plain pip from nothing.

Ours: somebody saved one line of the config, and the operator makes a new venv beside the old one.
The baseline: what a script with pip does each time, since it cannot know what has changed; the same
six steps, with a new venv too. Both take wheels from one directory, so no index blurs the ratio;
that is the best case for pip, which with ``--index`` asks about every package each time. Both find
their caches as the build before has left them. pip keeps what it downloads, but builds trees anew.

Each turn has an edit of its own, and the rebuilt venvs are asked for it. Ours is timed from the
declaration to the return of ``Attempt.run()``, journal, receipt, lock and bill of materials
included; pip from the start of its first command to the end of its last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from configbuild.model import Trigger
from configbuild.sandbox import PASSED_ON
from configbuild.settings import Settings
from tests.bench.bench_warm_build import (
    KEY,
    Built,
    CommandTime,
    Ours,
    fetch_wheels,
    prepare,
    processor_s,
)
from tests.bench.report import Figure, print_figures, print_table

TARGET_RATIO = 12.0

# The line of the config that somebody edits.
EDITED, LINE = Path("src/ade_config/hooks.py"), "DAYS_TO_PAY = {}\n"

# What pip brings up to date, and its build environments are made of.
TOOLS = ("pip", "setuptools", "wheel")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPip:
    """The baseline: six commands, one after the other."""

    root: Path
    settings: Settings
    engine: Path
    config: Path

    def build(self) -> Built:
        """Make a venv with pip, from nothing."""
        venv = self.root / "plain" / "venv"
        python = str(venv / "bin" / "python")
        house = self.settings.wheelhouse
        wheels = () if house is None else ("--no-index", "--find-links", str(house))
        install = (python, "-m", "pip", "install", *wheels)
        steps = {
            "python -m venv": (str(self.settings.python_bin), "-m", "venv", str(venv)),
            "pip install --upgrade": (*install, "--upgrade", *TOOLS),
            "pip install engine": (*install, str(self.engine)),
            "pip install config": (*install, str(self.config)),
            "import": (python, "-c", "import ade_engine, ade_config"),
            "pip inspect": (python, "-m", "pip", "inspect"),
        }
        cpu_before_s, begun = processor_s(), time.perf_counter()
        commands = []
        for argv in steps.values():
            started = time.perf_counter()
            self._run(argv)
            commands.append(CommandTime(argv=argv, took_s=time.perf_counter() - started))
        took_s = time.perf_counter() - begun
        return Built(
            took_s=took_s,
            cpu_s=processor_s() - cpu_before_s,
            venv=venv,
            output="",
            commands=tuple(commands),
            around_s={name: command.took_s for name, command in zip(steps, commands, strict=True)},
        )

    def _run(self, argv: Sequence[str]) -> None:
        home = self.root / "plain" / "home"
        home.mkdir(parents=True, exist_ok=True)
        # Proxies and trusted certificates of this machine, which ours gets too.
        passed = {name: os.environ[name] for name in (*PASSED_ON, "PIP_CERT") if name in os.environ}
        environment = {
            **passed,
            "PATH": os.defpath,
            "HOME": str(home),
            "PIP_CACHE_DIR": str(self.root / "plain" / "cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CONFIG_FILE": os.devnull,
        }
        done = subprocess.run(argv, env=environment, cwd=home, capture_output=True, check=False)
        assert done.returncode == 0, f"{argv}:\n{done.stdout!r}\n{done.stderr!r}"


async def measure(root: Path, *, rounds: int, index: bool) -> list[Figure]:
    """Edit and rebuild in turns, and print what it took."""
    ours, script = await prepare(root, index=index)
    settings = ours.settings
    if settings.wheelhouse is not None:
        fetch_wheels(settings.wheelhouse, settings, TOOLS)
    sources = settings.sources_dir / KEY.namespace
    config = sources / "config"
    shutil.copytree(script.config, config)
    plain = PlainPip(
        root=root,
        settings=settings,
        engine=_copy(sources / "engine", root),
        config=_copy(config, root),
    )
    found: dict[str, list[Built]] = {"ours": [], "plain pip": []}
    for turn in range(rounds + 1):
        for tree in (config, plain.config):
            _edit(tree, days=100 + turn)
        ways = [*found][turn % 2 :] + [*found][: turn % 2]
        for way in ways:
            os.sync()
            built = await _rebuild(ours) if way == "ours" else plain.build()
            _check(built, days=100 + turn)
            shutil.rmtree(built.venv)
            if turn > 0:  # the first of each fills its caches
                found[way].append(built)
    assert all("Using the wheel that an earlier build" in each.output for each in found["ours"])
    return _report(found)


def _copy(tree: Path, root: Path) -> Path:
    """pip leaves files in the trees that it builds, and ours would see a change in them."""
    return Path(shutil.copytree(tree, root / "plain" / tree.name))


async def _rebuild(ours: Ours) -> Built:
    return await ours.build(
        dict(os.environ), trigger=Trigger.SOURCE_CHANGED, config={"path": "config"}
    )


def _edit(config: Path, *, days: int) -> None:
    file = config / EDITED
    lines = file.read_text().splitlines(keepends=True)
    edited = [LINE.format(days) if line.startswith("DAYS_TO_PAY") else line for line in lines]
    assert edited != lines, f"{file} has no such line"
    file.write_text("".join(edited))


def _check(built: Built, *, days: int) -> None:
    """See that the venv holds the edit."""
    code = "import ade_config.hooks as h; print(h.DAYS_TO_PAY)"
    argv = [str(built.venv / "bin" / "python"), "-I", "-B", "-c", code]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert told == f"{days}\n", told


def _report(found: Mapping[str, Sequence[Built]]) -> list[Figure]:
    ours, plain = found.values()
    ratios = _ratios(plain, ours, lambda built: built.took_s)
    cpu_ratios = _ratios(plain, ours, lambda built: built.cpu_s)
    print_table(
        f"Rebuild after an edit of the config, seconds, {len(ours)} turns",
        ["way", "median", "fastest", "slowest"],
        [
            *((way, *_spread([b.took_s for b in built])) for way, built in found.items()),
            *(
                (f"{way}, processor time", *_spread([b.cpu_s for b in built]))
                for way, built in found.items()
            ),
            ("times faster in a turn", *_spread(ratios)),
            ("times less processor time in a turn", *_spread(cpu_ratios)),
        ],
    )
    print_table(
        "Where plain pip's time goes, medians in ms",
        ["step", "took"],
        [
            (step, 1000 * statistics.median(b.around_s[step] for b in plain))
            for step in plain[0].around_s
        ],
    )
    print_table(
        "Where ours goes, medians in ms",
        ["part", "took"],
        [
            *(
                (
                    command.title,
                    1000 * statistics.median(b.commands[number].took_s for b in ours),
                )
                for number, command in enumerate(ours[0].commands)
            ),
            *(
                (part, 1000 * statistics.median(b.around_s[part] for b in ours))
                for part in ours[0].around_s
            ),
        ],
    )
    ratio = statistics.median(ratios)
    return [
        Figure(
            what="rebuild after an edit of the config",
            unit="s",
            ours=statistics.median(b.took_s for b in ours),
            baseline=statistics.median(b.took_s for b in plain),
            ratio=1 / ratio,
            target=f"{ratio:.1f} >= {TARGET_RATIO:.0f} times faster",
            met=ratio >= TARGET_RATIO,
        )
    ]


def _ratios(
    more: Sequence[Built], less: Sequence[Built], what: Callable[[Built], float]
) -> list[float]:
    return [what(a) / what(b) for a, b in zip(more, less, strict=True)]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def run(*, rounds: int = 7, index: bool = False) -> list[Figure]:
    """Run the benchmark in a directory of its own; returns its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-rebuild-") as name:
        return asyncio.run(measure(Path(name).resolve(), rounds=rounds, index=index))


def main() -> None:
    """Run the benchmark with sizes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rebuilds of each way, in turns")
    parser.add_argument("--index", action="store_true", help="have both ask the index")
    arguments = parser.parse_args()
    print_figures(run(rounds=arguments.rounds, index=arguments.index))


if __name__ == "__main__":
    main()
