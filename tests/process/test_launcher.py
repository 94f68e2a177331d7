from __future__ import annotations

import json
import subprocess
import sys

from configbuild.process import LAUNCHER

# Each would cost more of the launcher's start and memory than all of its own code.
HEAVY = {"asyncio", "logging", "pathlib", "subprocess", "threading", "typing"}


OF_THE_PACKAGE = {"", ".confinement", ".landlock", ".seccomp"}


def test_the_launcher_imports_little_and_of_the_package_only_what_confines() -> None:
    program = """
import sys
names = {"__name__": "launcher", "__file__": sys.argv[1]}
exec(compile(open(sys.argv[1], "rb").read(), "launcher.py", "exec"), names)
import json
print(json.dumps(list(sys.modules)))
"""
    argv = [sys.executable, "-I", "-S", "-E", "-c", program, str(LAUNCHER)]
    imported = json.loads(subprocess.check_output(argv))
    modules = {name.partition(".")[0] for name in imported}
    assert "ctypes" in modules
    assert not modules & HEAVY
    assert modules - {"__main__", "configbuild"} <= sys.stdlib_module_names
    package = {name for name in imported if name.partition(".")[0] == "configbuild"}
    assert package == {f"configbuild{name}" for name in OF_THE_PACKAGE}
