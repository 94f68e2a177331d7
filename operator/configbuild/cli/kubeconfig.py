"""The namespace and the user that kubectl would use.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from configbuild.cli.documents import InputError

DEFAULT_NAMESPACE = "default"


def current_namespace() -> str:
    """Read it from the current context; ``default`` where none is set.

    :class:`InputError` if a kubeconfig cannot be read; one that is not there is passed over.
    """
    context = _current_context(_read_all())
    return context.get("namespace") or DEFAULT_NAMESPACE


def current_user() -> tuple[dict[str, Any], Path] | None:
    """Read the user of the current context, and the folder that paths in it are relative to.

    ``None`` where there is none. Errors as above.
    """
    configs = _read_all()
    name = _current_context(configs).get("user")
    for path, config in configs:
        for user in config.get("users") or ():
            if name and user.get("name") == name:
                return user.get("user") or {}, path.parent
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
    return [(path, _read(path)) for path in _paths() if path.exists()]


def _paths() -> list[Path]:
    if named := os.environ.get("KUBECONFIG"):
        return [Path(part) for part in named.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"the kubeconfig {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"the kubeconfig {path} is none: it holds no object")
    return content
