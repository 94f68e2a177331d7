"""List what is installed in a venv, from its files alone.

Run as ``python -I -S collect_metadata.py SITE_PACKAGES OUTPUT_JSON``: by the operator's own
interpreter, so that nothing that was installed can have a say. Prints ``name==version`` a line.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path


def main(site_packages: str, output: str) -> int:
    """Write the installed distributions as JSON to ``output``, sorted by name."""
    found = sorted(
        (describe(dist) for dist in distributions(path=[site_packages])),
        key=lambda entry: entry["name"],
    )
    for entry in found:
        print(f"{entry['name']}=={entry['version']}")
    Path(output).write_text(json.dumps({"packages": found}, indent=1), encoding="utf-8")
    return 0


def describe(dist: Distribution) -> dict[str, str]:
    """Give name (PEP 503), version, installer and origin (PEP 610) of one distribution."""
    name = re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
    entry = {"name": name, "version": dist.version}
    installer = (dist.read_text("INSTALLER") or "").strip()
    if installer:
        entry["installer"] = installer
    if dist.read_text("direct_url.json"):
        entry["origin"] = "wheel built from a source tree"
    return entry


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
