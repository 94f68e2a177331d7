"""Verify that a venv works: imports from inside it, and an engine that is still what was installed.

Run as ``<venv>/bin/python -I -B verify_imports.py ENGINE_JSON MODULE...``. Prints a line for each
thing that holds, and on standard error what does not. Exit code 1 if anything does not hold.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def main(engine_json: str, modules: list[str]) -> int:
    """Check everything, also after a first failure, so that one build tells all that is wrong."""
    checks = [verify_engine(Path(engine_json)), *[verify_import(name) for name in modules]]
    return 0 if all(checks) else 1


def verify_engine(facts_file: Path) -> bool:
    """Compare the engine's version and its RECORD with what ``install_engine`` left."""
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    name = facts["name"]
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return fail(f"the engine {name} is gone: installing the config removed it")
    if found.version != facts["version"]:
        return fail(
            f"the engine {name} was installed as {facts['version']} and is now {found.version}:"
            " installing the config changed it"
        )
    record = hashlib.sha256((found.read_text("RECORD") or "").encode()).hexdigest()
    if record != facts["record_sha256"]:
        return fail(
            f"the engine {name} {found.version} was replaced while the config was installed"
        )
    return succeed(f"engine {name} {found.version} is as installed")


def verify_import(name: str) -> bool:
    """Import a module and see that it came from inside the venv."""
    started = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - whatever an import raises is a finding
        traceback.print_exc()
        return fail(f"import {name} failed: {type(error).__name__}: {error}")
    origins = [module.__file__] if getattr(module, "__file__", None) else list(module.__path__)
    venv = os.path.realpath(sys.prefix) + os.sep
    for origin in origins:
        if origin is None or not os.path.realpath(origin).startswith(venv):
            return fail(f"import {name} came from {origin}, which is not inside {sys.prefix}")
    milliseconds = (time.perf_counter() - started) * 1000
    where = os.path.relpath(os.path.realpath(str(origins[0])), venv)
    return succeed(f"import {name} from {where} ({milliseconds:.0f} ms)")


def succeed(text: str) -> bool:
    """Report what holds."""
    print(f"ok: {text}", flush=True)
    return True


def fail(text: str) -> bool:
    """Report what does not hold."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
