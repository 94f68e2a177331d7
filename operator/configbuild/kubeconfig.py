"""What kubectl would use: the namespace, the cluster and the user of the current context.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and,
for programs that give credentials,
https://kubernetes.io/docs/reference/access-authn-authz/authentication/ (client-go credential
plugins).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from configbuild.errors import ConfigBuildError

DEFAULT_NAMESPACE = "default"


class KubeconfigError(ConfigBuildError):
    """A kubeconfig, or the program that it names, gives no access to a cluster."""

    reason = "InvalidInput"
    exit_code = 2


def current_namespace() -> str:
    """Read it from the current context; ``default`` where none is set.

    :class:`KubeconfigError` if a kubeconfig cannot be read; one that is not there is passed over.
    """
    context = _current_context(_read_all())
    return context.get("namespace") or DEFAULT_NAMESPACE


def current_user() -> tuple[dict[str, Any], Path] | None:
    """Read the user of the current context, and the folder that paths in it are relative to.

    ``None`` where there is none. Errors as above.
    """
    return _named("user")


def current_cluster() -> tuple[dict[str, Any], Path] | None:
    """Read the cluster of the current context; otherwise as :func:`current_user`."""
    return _named("cluster")


def kubeconfig_files() -> list[Path]:
    """List the files that are read, whether they are there or not."""
    if named := os.environ.get("KUBECONFIG"):
        return [Path(part) for part in named.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]


def run_plugin(program: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Run a credential plugin, with the terminal if it may ask something; give its status.

    :class:`KubeconfigError` if it fails, or says nothing of use.
    """
    command = program["command"]
    if "/" in command:
        command = str(directory / command)
    interactive = program.get("interactiveMode") != "Never" and sys.stdin.isatty()
    version = program.get("apiVersion", "client.authentication.k8s.io/v1")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": interactive}}
    environment = {entry["name"]: entry["value"] for entry in program.get("env") or ()}
    try:
        done = subprocess.run(
            [command, *(program.get("args") or ())],
            env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
    except (OSError, subprocess.CalledProcessError) as error:
        raise KubeconfigError(f"the kubeconfig's program for credentials failed: {error}") from None
    except (ValueError, KeyError, TypeError):
        status = None
    if not isinstance(status, dict):
        raise KubeconfigError(f"{command} gave no ExecCredential with a status")
    return status


def _named(kind: str) -> tuple[dict[str, Any], Path] | None:
    """Find what the current context names, in a list of all of that kind."""
    configs = _read_all()
    name = _current_context(configs).get(kind)
    for path, config in configs:
        for entry in config.get(f"{kind}s") or ():
            if name and entry.get("name") == name:
                return entry.get(kind) or {}, path.parent
    return None


def _current_context(configs: list[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    # As kubectl merges them: the first file that says something has the say.
    current = next((it["current-context"] for _, it in configs if it.get("current-context")), None)
    for _, config in configs:
        for context in config.get("contexts") or ():
            if context.get("name") == current:
                return context.get("context") or {}
    return {}


def _read_all() -> list[tuple[Path, dict[str, Any]]]:
    return [(path, _read(path)) for path in kubeconfig_files() if path.exists()]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"the kubeconfig {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise KubeconfigError(f"the kubeconfig {path} is none: it holds no object")
    return content
