"""The namespace that kubectl would use.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from configbuild.cli.documents import InputError

DEFAULT_NAMESPACE = "default"


def current_namespace() -> str:
    """Read it from the current context; ``default`` where none is set.

    :class:`InputError` if a kubeconfig cannot be read; one that is not there is passed over.
    """
    configs = list(_configs())
    # As kubectl merges them: the first file that says something has the say.
    current = next((it["current-context"] for it in configs if it.get("current-context")), None)
    for config in configs:
        for context in config.get("contexts") or ():
            if context.get("name") == current:
                return (context.get("context") or {}).get("namespace") or DEFAULT_NAMESPACE
    return DEFAULT_NAMESPACE


def _configs() -> Iterator[dict[str, Any]]:
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    for path in map(Path, named or [Path.home() / ".kube" / "config"]):
        try:
            content = yaml.safe_load(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, yaml.YAMLError) as error:
            raise InputError(f"the kubeconfig {path} cannot be read: {error}") from None
        if isinstance(content, dict):
            yield content
