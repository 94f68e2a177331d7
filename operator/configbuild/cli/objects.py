"""Reads and writes objects by ``kubectl``, with whatever rights and context the user has.

Standard input and error are kubectl's for that time, since it may ask for a password. The
environment variable ``KUBECTL`` names another program. Every function raises :class:`KubectlError`
if kubectl fails, :class:`InputError` if it cannot be started or gives no object.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from configbuild.cli.common import ToldError
from configbuild.cli.documents import InputError


class KubectlError(ToldError):
    """kubectl failed, and has told on standard error why; ``exit_code`` is its own."""


def get_configbuild(name: str, *, namespace: str | None) -> dict[str, Any]:
    """Fetch a ConfigBuild; without a namespace from that of kubectl's current context."""
    return read_object("get", "configbuild", name, *in_namespace(namespace))


def list_configbuilds(namespace: str | None, *, everywhere: bool) -> dict[str, Any]:
    """Fetch a list of ConfigBuilds: of a namespace, or of all."""
    where = ("--all-namespaces",) if everywhere else in_namespace(namespace)
    return read_object("get", "configbuilds", *where)


def annotate(name: str, annotation: str, value: str | None, *, namespace: str | None) -> None:
    """Set an annotation of a ConfigBuild; ``None`` takes it away."""
    change = f"{annotation}-" if value is None else f"{annotation}={value}"
    where = in_namespace(namespace)
    kubectl("annotate", "configbuild", name, change, "--overwrite", *where, "-o", "name")


def create(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Create an object; gives it as it is then, name and all."""
    return read_object("create", "-f", "-", content=json.dumps(manifest))


def read_object(*arguments: str, content: str | None = None) -> dict[str, Any]:
    """Run kubectl and read the object that it prints."""
    return _object(kubectl(*arguments, "-o", "json", content=content))


def _object(printed: str) -> dict[str, Any]:
    try:
        found = json.loads(printed)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise InputError(f"{program()} gave no object; is this kubectl?")
    return found


def kubectl(*arguments: str, content: str | None = None) -> str:
    """Run kubectl and give what it prints; ``content`` is its standard input."""
    try:
        done = subprocess.run(
            [program(), *arguments], stdout=subprocess.PIPE, input=content, text=True, check=False
        )
    except OSError as error:
        raise cannot_start(error) from None
    if done.returncode != 0:
        raise KubectlError(shell_code(done.returncode))
    return done.stdout


def cannot_start(error: OSError) -> InputError:
    """Say that there is no kubectl."""
    return InputError(
        f"{program()} cannot be started ({error.strerror}); have KUBECTL name kubectl"
    )


def shell_code(returncode: int) -> int:
    """Write an exit code as shells do, also where a signal ended the process."""
    return returncode if returncode >= 0 else 128 - returncode


def in_namespace(namespace: str | None) -> Sequence[str]:
    """Make the option; kubectl knows best which namespace is the current one."""
    return ("-n", namespace) if namespace else ()


def find_config_map(name: str, *, namespace: str) -> dict[str, Any] | None:
    """Fetch a ConfigMap; ``None`` if there is none."""
    where = ("-n", namespace, "--ignore-not-found", "-o", "json")
    printed = kubectl("get", "configmap", name, *where)
    return _object(printed) if printed.strip() else None


def owner_of_build(build_id: str, *, namespace: str) -> str | None:
    """Find the ConfigBuild whose build has an id, by the ConfigMaps that hold its log."""
    where = ("-n", namespace, f"--selector=ade.dev/build-id={build_id}")
    for found in read_object("get", "configmaps", *where)["items"]:
        for owner in found["metadata"].get("ownerReferences") or ():
            if owner["kind"] == "ConfigBuild":
                return str(owner["name"])
    return None


def published_authority(namespace: str) -> str | None:
    """Read whom the operator of a namespace asks to be trusted (PEM).

    ``None`` if it asks for nobody, or if that cannot be read: then the connection tells what is
    wrong.
    """
    found = read_quietly("get", "configmap", "configbuild-ca", "-n", namespace)
    try:
        return str(found["data"]["ca.crt"])
    except (KeyError, TypeError):
        return None


def read_quietly(*arguments: str) -> dict[str, Any]:
    """Read an object where it does not matter if there is none: then it is empty."""
    try:
        done = subprocess.run(
            [program(), *arguments, "-o", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def program() -> str:
    """Name the kubectl that is run."""
    return os.environ.get("KUBECTL") or "kubectl"
