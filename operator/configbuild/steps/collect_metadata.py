"""List what is installed in a venv, from its files alone.

Run as ``python -I -S collect_metadata.py SITE_PACKAGES OUTPUT_JSON PINS``: by the operator's own
interpreter, so that nothing that was installed can have a say. Prints ``name==version`` a line, and
writes the same to PINS for what may have come from an index, so that an index can be asked for it.

All that is read was written by somebody else: sizes are bounded, nothing but plain files is opened,
and texts come out short and printable.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

# Of a file of metadata: its headers come first, and a long description is not of interest.
MOST_BYTES = 1024 * 1024
# Of a text that is passed on.
MOST_CHARACTERS = 512
# Of a field that may be repeated: classifiers, and the tags of a wheel, of which some have 40.
MOST_ENTRIES = 200

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,126}")
_TAG = re.compile(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+")
_LICENSE = "License :: "


class InvalidDistributionError(Exception):
    """A folder of metadata does not hold what an installer leaves there."""


def main(site_packages: str, output: str, pins: str) -> int:
    """Write the installed distributions as JSON to ``output``, sorted by name."""
    try:
        found = collect(Path(site_packages))
    except InvalidDistributionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    lines = [f"{entry['name']}=={entry['version']}" for entry in found]
    print("\n".join(lines))
    asked = [line for line, entry in zip(lines, found, strict=True) if "elsewhere" not in entry]
    Path(pins).write_text("".join(f"{line}\n" for line in asked), encoding="utf-8")
    Path(output).write_text(json.dumps({"packages": found}, indent=1), encoding="utf-8")
    return 0


def collect(site_packages: Path) -> list[dict[str, Any]]:
    """Describe every distribution, sorted by name; no two have the same."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(site_packages.glob("*.dist-info")):
        entry = describe(folder)
        if entry["name"] in found:
            raise InvalidDistributionError(f"{entry['name']} is installed twice: {folder.name!r}")
        found[entry["name"]] = entry
    return [found[name] for name in sorted(found)]


def describe(folder: Path) -> dict[str, Any]:
    """Give name (PEP 503), version, installer and what a distribution says of itself."""
    metadata = headers(folder / "METADATA")
    name, version = text(metadata["Name"]), text(metadata["Version"])
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise InvalidDistributionError(
            f"{folder.name!r} in the venv has no METADATA with a name and a version"
        )
    wheel = headers(folder / "WHEEL")
    entry = {
        "name": re.sub(r"[-_.]+", "-", name).lower(),
        "version": version,
        "installer": text(read(folder / "INSTALLER").decode("utf-8", "replace")),
        "summary": text(metadata["Summary"]),
        "license_expression": text(metadata["License-Expression"]),
        "licenses": licenses(metadata),
        "record_sha256": record_hash(folder / "RECORD"),
        "tags": [tag for each in several(wheel, "Tag") if _TAG.fullmatch(tag := text(each))],
        "build": text(wheel["Build"]),
        "elsewhere": elsewhere(folder),
    }
    return {key: value for key, value in entry.items() if value}


def licenses(metadata: Message) -> list[str]:
    """Give the names of licences, by classifiers if there are any, else by the field."""
    classifiers = [text(each) for each in several(metadata, "Classifier")]
    names = [each.rsplit(" :: ", 1)[-1] for each in classifiers if each.startswith(_LICENSE)]
    return [name for name in names or [text(metadata["License"])] if name not in ("", "UNKNOWN")]


def several(metadata: Message, name: str) -> list[Any]:
    """Give the values of a field that may stand there again and again."""
    return metadata.get_all(name, [])[:MOST_ENTRIES]


def elsewhere(folder: Path) -> str:
    """Say why no index has the wheel that was installed.

    A package that leaves such a file itself hides where it came from, and nothing else.
    """
    if os.path.lexists(folder / "direct_url.json"):  # PEP 610
        return "not installed from an index"
    if os.path.lexists(folder / "uv_build.json"):  # uv's note that it built the wheel
        return "built from a source distribution"
    return ""


def headers(file: Path) -> Message:
    """Read the headers of a file of metadata (core metadata, binary distribution format)."""
    return HeaderParser().parsestr(read(file).decode("utf-8", "replace"))


def text(value: object) -> str:
    """Make one short line of printable characters of whatever a package has written."""
    if value is None:
        return ""
    printable = "".join(c if c.isprintable() else " " for c in str(value)[: 4 * MOST_CHARACTERS])
    return " ".join(printable.split())[:MOST_CHARACTERS].strip()


def read(file: Path) -> bytes:
    """Read the beginning of a plain file; nothing of what is no plain file, or not there."""
    descriptor = _open_plain(file)
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(MOST_BYTES)


def record_hash(file: Path) -> str:
    """Hash the whole RECORD; it is empty where there is none."""
    descriptor = _open_plain(file)
    if descriptor is None:
        return ""
    with os.fdopen(descriptor, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _open_plain(file: Path) -> int | None:
    try:
        # Neither through a link, be it the folder's, nor waiting at a pipe.
        if not stat.S_ISDIR(file.parent.lstat().st_mode):
            return None
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
