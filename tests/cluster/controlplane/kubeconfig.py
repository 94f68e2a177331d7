"""Write kubeconfig files. They are JSON, which is YAML, so nothing here needs a YAML library."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from .certs import KeyPair


def certificate_user(pair: KeyPair) -> dict[str, str]:
    """Return the user entry of somebody with a client certificate."""
    return {
        "client-certificate-data": _encoded(pair.certificate),
        "client-key-data": _encoded(pair.key),
    }


def token_user(token: str) -> dict[str, str]:
    """Return the user entry of somebody with a bearer token."""
    return {"token": token}


def write_kubeconfig(
    path: Path,
    *,
    url: str,
    ca: Path,
    user: Mapping[str, str],
    namespace: str = "default",
) -> Path:
    """Write a self-contained kubeconfig with one context to `path`, for its owner only."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": url, "certificate-authority-data": _encoded(ca)},
            }
        ],
        "users": [{"name": path.stem, "user": dict(user)}],
        "contexts": [
            {
                "name": "test",
                "context": {"cluster": "test", "user": path.stem, "namespace": namespace},
            }
        ],
        "current-context": "test",
    }
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(config, indent=2) + "\n")
    return fresh.replace(path)


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
