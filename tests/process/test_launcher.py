from __future__ import annotations

import json
import subprocess
import sys

from configbuild.process import LAUNCHER

# Each would cost more of the launcher's start and memory than all of its own code.
HEAVY = {"asyncio", "logging", "pathlib", "subprocess", "threading", "typing"}


def test_the_launcher_imports_little_and_nothing_of_the_package() -> None:
    program = """
import sys
exec(compile(open(sys.argv[1], "rb").read(), "launcher.py", "exec"), {"__name__": "launcher"})
import json
print(json.dumps(list(sys.modules)))
"""
    argv = [sys.executable, "-I", "-S", "-E", "-c", program, str(LAUNCHER)]
    modules = {name.partition(".")[0] for name in json.loads(subprocess.check_output(argv))}
    assert "ctypes" in modules
    assert not modules & HEAVY
    assert modules - {"__main__"} <= sys.stdlib_module_names
