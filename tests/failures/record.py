"""Record the fixtures anew: ``python -m tests.failures.record [NAME …]``.

A name is that of a fixture, or the beginning of one (``uv/``). All of them take some minutes, root
(full disks are mounted in a namespace of their own), a C compiler, and an index with ``pip``,
``setuptools``, ``hatchling``, ``cython``, ``meson-python`` and ``setuptools-rust``.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from uv import find_uv_bin

from tests.failures.fixture import FIXTURES, Fixture
from tests.failures.situations import SITUATIONS
from tests.failures.stage import Stage, Templates


def record(name: str, root: Path, templates: Templates) -> Fixture:
    """Play one situation on a stage of its own, below ``root``."""
    root.mkdir()
    with ExitStack() as exits:
        stage = Stage(tool=name.partition("/")[0], root=root, templates=templates, exits=exits)
        return SITUATIONS[name](stage)


def main(wanted: list[str]) -> None:
    """Record and write what is named, or everything."""
    chosen = [name for name in SITUATIONS if not wanted or name.startswith(tuple(wanted))]
    with tempfile.TemporaryDirectory() as directory:
        templates = Templates.at(Path(directory) / "templates", Path(find_uv_bin()))
        for number, name in enumerate(chosen, 1):
            try:
                fixture = record(name, Path(directory) / f"stage-{number}", templates)
            except AssertionError as error:
                print(f"{number}/{len(chosen)} {name}: NOT RECORDED: {error}", flush=True)
                continue
            path = FIXTURES / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fixture.render())
            print(f"{number}/{len(chosen)} {name}: {len(fixture.lines)} lines", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
