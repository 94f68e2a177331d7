"""Engine and config packages that build in milliseconds, and do on the way what a test wants.

Each is a real source tree with a real (PEP 517) build back end: its own, in the tree, so that no
other package has to be had. What stands in ``while_building`` runs inside the back end, in the
build's own process, and can wait at a FIFO, write output, start daemons or fail.
"""

from __future__ import annotations

from pathlib import Path

_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "{name}"
version = "{version}"
"""

_BACKEND = """\
import base64, hashlib, zipfile
from pathlib import Path

NAME, VERSION, MODULE = "{name}", "{version}", "{module}"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    while_building()
    stem = NAME.replace("-", "_") + "-" + VERSION
    info = stem + ".dist-info/"
    files = {{
        MODULE + "/__init__.py": Path(MODULE + ".py").read_bytes(),
        info + "METADATA": headers("Metadata-Version: 2.1", "Name: " + NAME, "Version: " + VERSION),
        info + "WHEEL": headers(
            "Wheel-Version: 1.0", "Generator: t", "Root-Is-Purelib: true", "Tag: py3-none-any"
        ),
    }}
    record = "".join(
        f"{{path}},sha256={{base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')}}"
        f",{{len(data)}}\\n"
        for path, data in files.items()
    )
    files[info + "RECORD"] = (record + info + "RECORD,,\\n").encode()
    wheel = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return wheel


def headers(*lines):
    return "".join(line + "\\n" for line in lines).encode()


def while_building():
{while_building}
"""


def package_files(
    name: str,
    *,
    version: str = "1.0.0",
    module_source: str = "",
    while_building: str = "pass",
) -> dict[str, str]:
    """Give the files of a package that holds one module, named like it, by their path."""
    module = name.replace("-", "_")
    indented = "".join(f"    {line}\n" for line in while_building.splitlines())
    return {
        "pyproject.toml": _PYPROJECT.format(name=name, version=version),
        "backend.py": _BACKEND.format(
            name=name, version=version, module=module, while_building=indented
        ),
        f"{module}.py": module_source,
    }


def write_package(
    directory: Path,
    name: str,
    *,
    version: str = "1.0.0",
    module_source: str = "",
    while_building: str = "pass",
) -> Path:
    """Write such a package as a source tree (made anew); returns its directory."""
    files = package_files(
        name, version=version, module_source=module_source, while_building=while_building
    )
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        (directory / path).write_text(text)
    return directory
