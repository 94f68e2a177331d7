"""Reads objects by ``kubectl get``, with whatever rights and context the user has."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from configbuild.cli.documents import InputError


class KubectlError(Exception):
    """kubectl failed, and has told on standard error why; ``exit_code`` is its own."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"kubectl ended with {exit_code}")
        self.exit_code = exit_code


def get_configbuild(name: str, *, namespace: str | None) -> dict[str, Any]:
    """Fetch a ConfigBuild; without a namespace from that of kubectl's current context.

    Standard input and error are kubectl's for that time, since it may ask for a password. The
    environment variable ``KUBECTL`` names another program. :class:`KubectlError` if it fails,
    :class:`InputError` if it cannot be started or gives no object.
    """
    program = _kubectl()
    where = ("-n", namespace) if namespace else ()
    try:
        done = subprocess.run(
            [program, "get", "configbuild", name, *where, "-o", "json"],
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise InputError(
            f"{program} cannot be started ({error.strerror}); have KUBECTL name kubectl"
        ) from None
    if done.returncode != 0:
        # As shells write down that a signal ended it.
        raise KubectlError(done.returncode if done.returncode > 0 else 128 - done.returncode)
    try:
        content = json.loads(done.stdout)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("metadata"), dict):
        raise InputError(f"{program} gave no object; is this kubectl?")
    return content


def published_authority(namespace: str) -> str | None:
    """Read whom the operator of a namespace asks to be trusted (PEM).

    ``None`` if it asks for nobody, or if that cannot be read: then the connection tells what is
    wrong.
    """
    try:
        done = subprocess.run(
            [_kubectl(), "get", "configmap", "configbuild-ca", "-n", namespace, "-o", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return str(json.loads(done.stdout)["data"]["ca.crt"])
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError, TypeError):
        return None


def _kubectl() -> str:
    return os.environ.get("KUBECTL") or "kubectl"
