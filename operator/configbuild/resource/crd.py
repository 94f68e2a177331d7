"""The CustomResourceDefinition, generated from :mod:`configbuild.resource.schema`.

Kubernetes wants a *structural* schema: no references, no ``anyOf`` with null, no
``additionalProperties`` beside ``properties``; optional is what is not in ``required``.

Source: KEP-1693 (structural schemas), API conventions (printer columns, list maps).
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from configbuild.resource import GROUP, KIND, PLURAL, VERSION
from configbuild.resource.rules import VALIDATIONS
from configbuild.resource.schema import ConfigBuildSpec
from configbuild.resource.status_schema import ConfigBuildStatus

_DESCRIPTION = (
    "A verified Python environment, declared: an engine and a config package, built and kept."
)

_DROPPED = {"title", "additionalProperties", "default", "$defs"}

_COLUMNS: tuple[tuple[str, str, str, int, str], ...] = (
    (
        "Ready",
        "string",
        '.status.conditions[?(@.type=="Ready")].status',
        0,
        "Whether the environment is built, verified and current.",
    ),
    ("Phase", "string", ".status.phase", 0, "How the newest build stands."),
    ("Step", "string", ".status.step", 0, "The step that runs."),
    ("Build", "string", ".status.active.buildId", 0, "The build that consumers use."),
    ("Python", "string", ".status.active.python", 0, "Python version of the active build."),
    ("Engine", "string", ".status.active.engine", 0, "Engine of the active build."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "When this object was made."),
    (
        "Reason",
        "string",
        '.status.conditions[?(@.type=="Ready")].reason',
        1,
        "Why it is ready, or is not.",
    ),
    ("Trigger", "string", ".status.build.trigger", 1, "What started the newest build."),
    (
        "Message",
        "string",
        '.status.conditions[?(@.type=="Ready")].message',
        1,
        "The same for people.",
    ),
)


def structural_schema() -> dict[str, Any]:
    """Render the resource's OpenAPI v3 schema as Kubernetes accepts it."""
    spec = _structural(ConfigBuildSpec)
    status = _structural(ConfigBuildStatus)
    # A fresh object must never read as done: tools compare observedGeneration with generation.
    status["default"] = {"observedGeneration": -1}
    return {
        "type": "object",
        "description": _DESCRIPTION,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        VALIDATIONS: [
            {
                # The name becomes a directory, a label value and a config_id.
                "rule": "size(self.metadata.name) <= 63",
                "message": "metadata.name must have at most 63 characters",
            }
        ],
    }


def custom_resource_definition() -> dict[str, Any]:
    """Make the CustomResourceDefinition, ready for ``kubectl apply``."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["cb"],
                "categories": ["ade"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": structural_schema()},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {
                            "name": name,
                            "type": kind,
                            "jsonPath": path,
                            "priority": priority,
                            "description": description,
                        }
                        for name, kind, path, priority, description in _COLUMNS
                    ],
                }
            ],
        },
    }


def render_yaml() -> str:
    """Write the definition as YAML, the same bytes every time."""
    head = "# Generated from operator/configbuild/resource/ by `configbuild crd`.\n"
    # A copy by value: YAML would write what is shared once, and point to it with anchors.
    definition = json.loads(json.dumps(custom_resource_definition()))
    body: str = yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)
    return head + body


def _structural(model: type[ConfigBuildSpec | ConfigBuildStatus]) -> dict[str, Any]:
    document = model.model_json_schema(by_alias=True)
    definitions = document.get("$defs", {})
    inlined = _inline(document, definitions)
    assert isinstance(inlined, dict)
    return inlined


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        # What stands beside a reference (a field's description) is nearer to the reader.
        return _inline({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    if "anyOf" in node:
        (choice,) = [option for option in node["anyOf"] if option != {"type": "null"}]
        return _inline({**choice, **{k: v for k, v in node.items() if k != "anyOf"}}, definitions)
    if "properties" in node:
        return _object(node, definitions)
    rendered = {k: v for k, v in node.items() if k not in _DROPPED}
    if isinstance(node.get("additionalProperties"), dict):
        rendered["additionalProperties"] = _inline(node["additionalProperties"], definitions)
    if "items" in rendered:
        rendered["items"] = _inline(rendered["items"], definitions)
    if "const" in rendered:
        rendered["enum"] = [rendered.pop("const")]
    return rendered


def _object(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    rendered = {k: v for k, v in node.items() if k not in _DROPPED}
    rendered["properties"] = {
        name: _inline(child, definitions) for name, child in node["properties"].items()
    }
    return rendered
