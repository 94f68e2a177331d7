"""Raises an exception once, at a call that a test has chosen, in a process that it has started.

Runs as the `sitecustomize` of an operator, before anything of the operator's own; standard library
only. It wraps every function that ``TEST_FAULTS`` (a directory) lists in ``targets``. A fault is
armed by the file ``armed`` in there, and taken by renaming it to ``hit``: so it can be armed at any
time, and hits once, whatever becomes of the process.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wrap_all(directory: Path) -> None:
    """Wrap every function that is listed, by its dotted name."""
    for target in json.loads((directory / "targets").read_text()):
        owner, name = _owner(target)
        found = inspect.getattr_static(owner, name, None)
        made: Any
        if isinstance(found, classmethod):
            made = classmethod(_faulty(found.__func__, target, directory))
        else:
            # A built-in is found nowhere in the module that calls it, and shadowed there.
            made = _faulty(found or getattr(builtins, name), target, directory)
        setattr(owner, name, made)


def _owner(target: str) -> tuple[Any, str]:
    *path, name = target.split(".")
    for length in range(len(path), 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(path[:length]))
        except ModuleNotFoundError:
            continue
        for part in path[length:]:
            owner = getattr(owner, part)
        return owner, name
    raise LookupError(target)


def _faulty(real: Any, target: str, directory: Path) -> Callable[..., Any]:
    def look(*args: Any, **kwargs: Any) -> None:
        _raise_if_armed(target, directory, args, kwargs)

    if inspect.isasyncgenfunction(real):

        @functools.wraps(real)
        async def generate(*args: Any, **kwargs: Any) -> Any:
            look(*args, **kwargs)
            async for item in real(*args, **kwargs):
                yield item

        return generate
    if inspect.iscoroutinefunction(real):

        @functools.wraps(real)
        async def run(*args: Any, **kwargs: Any) -> Any:
            look(*args, **kwargs)
            return await real(*args, **kwargs)

        return run

    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        look(*args, **kwargs)
        return real(*args, **kwargs)

    return call


def _raise_if_armed(
    target: str, directory: Path, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        fault = json.loads((directory / "armed").read_text())
    except FileNotFoundError:
        return
    if fault["target"] != target or not eval(fault["hits"], {"args": args, "kwargs": kwargs}):
        return
    try:
        (directory / "armed").rename(directory / "hit")
    except FileNotFoundError:  # another thread has taken it
        return
    raise eval(fault["error"])


def _is_wanted() -> bool:
    # Other Pythons inherit the path and have nothing of the operator's.
    runs = any("configbuild" in argument for argument in sys.orig_argv)
    return __name__ == "sitecustomize" and "TEST_FAULTS" in os.environ and runs


if _is_wanted():
    wrap_all(Path(os.environ["TEST_FAULTS"]))
