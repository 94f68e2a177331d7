"""Write the patch of Argo CD's ConfigMap from the Lua files, which stand apart to be tested."""

from __future__ import annotations

import textwrap
from pathlib import Path

_LUA = Path(__file__).parent.parent / "gitops" / "argocd" / "ade.dev" / "ConfigBuild"
_KIND = "ade.dev_ConfigBuild"


def argocd_patch() -> str:
    """Render gitops/argocd/argocd-cm.yaml."""
    health = _block("resource.customizations.health." + _KIND, _read("health.lua"))
    actions = _block("resource.customizations.actions." + _KIND, _actions())
    return (
        "# Generated from the Lua files below ade.dev/ConfigBuild: `make generate`.\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n"
        + textwrap.indent(health + actions, "  ")
    )


def _actions() -> str:
    """Render the YAML inside the ConfigMap that holds all actions."""
    names = sorted(file.parent.name for file in _LUA.glob("actions/*/action.lua"))
    definitions = "".join(
        f"- name: {name}\n" + textwrap.indent(_block("action.lua", _action(name)), "  ")
        for name in names
    )
    return _block("discovery.lua", _read("actions/discovery.lua")) + "definitions:\n" + definitions


def _action(name: str) -> str:
    return _read(f"actions/{name}/action.lua")


def _block(key: str, text: str) -> str:
    """Render a key with a literal block; ``text`` ends with one newline."""
    return f"{key}: |\n" + textwrap.indent(text, "  ")


def _read(name: str) -> str:
    return (_LUA / name).read_text()
