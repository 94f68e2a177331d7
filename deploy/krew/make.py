"""Makes what krew installs: an archive of two scripts, and the manifest with its hash."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
LICENSE = HERE.parents[1] / "LICENSE"
ARCHIVE = "kubectl-configbuild.tar.gz"


def archive(version: str) -> bytes:
    """Pack the scripts; the same bytes whenever it is called, so that the hash can be checked."""
    script = (HERE / "plugin.sh").read_text().replace("VERSION", version).encode()
    files = [
        ("kubectl-configbuild", script, 0o755),
        ("kubectl_complete-configbuild", script, 0o755),
        ("LICENSE", LICENSE.read_bytes(), 0o644),
    ]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in files:
            # No time, no owner: neither is anybody's business.
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def manifest(version: str, url: str, packed: bytes) -> str:
    """Fill in the manifest."""
    text = (HERE / "configbuild.yaml").read_text()
    text = text[text.index("apiVersion:") :]
    hashed = hashlib.sha256(packed).hexdigest()
    filled = text.replace("VERSION", version).replace("SHA256", hashed)
    return filled.replace("URL", url.rstrip("/"))


def main(arguments: list[str]) -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, help="of the package, without a v")
    parser.add_argument("--url", required=True, help="the folder in which the archive will be")
    parser.add_argument("--out", type=Path, required=True, help="where both files are written")
    options = parser.parse_args(arguments)
    packed = archive(options.version)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / ARCHIVE).write_bytes(packed)
    (options.out / "configbuild.yaml").write_text(manifest(options.version, options.url, packed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
