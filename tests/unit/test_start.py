"""What a start of the operator leaves out: it is paid for at each restart, and by each test."""

from __future__ import annotations

import json
import subprocess
import sys

# Each has cost a start a tenth of a second or more once, for what the operator does not do.
LEFT_OUT = {"kubernetes", "requests", "rich", "valkey"}

START = """
import gc, json, sys
import configbuild.cli.main as command
with command._nothing_collected():
    during = gc.isenabled()
    import configbuild.app
print(json.dumps({
    "packages": sorted({name.partition(".")[0] for name in sys.modules}),
    "during": during, "after": gc.isenabled(), "set aside": gc.get_freeze_count(),
}))
"""


def test_start_imports_nothing_of_the_terminal_and_looks_for_no_garbage() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)

    assert "configbuild" in told["packages"]
    assert LEFT_OUT.isdisjoint(told["packages"])
    assert (told["during"], told["after"]) == (False, True)
    assert told["set aside"] > 100_000
