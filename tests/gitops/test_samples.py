"""What the samples say of each other. `tests/cluster/test_gitops.py` has the API server take them.

Kinds of Argo CD and Flux are parsed and no more: their schemas are not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.gitops.verdicts import GITOPS

SAMPLES = GITOPS / "samples"


def test_folders_that_are_named_are_there() -> None:
    folders = {folder for body in _foreign() for folder in _folders(body["spec"])}
    overlays = {f"environments/{name}" for name in ("staging", "production", "preview")}
    assert folders == {"argocd/apps", *overlays}
    assert [folder for folder in folders if not (SAMPLES / folder).is_dir()] == []


def test_each_application_deploys_into_the_namespace_of_its_overlay() -> None:
    applications = [
        yaml.safe_load(file.read_text()) for file in sorted(SAMPLES.glob("argocd/apps/*.yaml"))
    ]
    for body in applications:
        spec = body["spec"]
        assert spec["destination"]["namespace"] == _namespace(spec["source"]["path"])
    assert len(applications) == 2


def test_object_whose_health_flux_waits_for_is_one_that_it_applies() -> None:
    (base,) = yaml.safe_load_all((SAMPLES / "environments/base/invoices.yaml").read_text())
    specs = [body["spec"] for body in _foreign() if body["kind"] == "Kustomization"]
    waiting = [spec for spec in specs if "healthChecks" in spec]
    assert waiting
    assert all(spec.get("wait") or "healthChecks" in spec for spec in specs)
    for spec in waiting:
        (check,) = spec["healthChecks"]
        assert check == {
            "apiVersion": base["apiVersion"],
            "kind": base["kind"],
            "name": base["metadata"]["name"],
            "namespace": _namespace(spec["path"]),
        }


def _foreign() -> Iterator[dict[str, Any]]:
    for file in sorted([*SAMPLES.glob("argocd/**/*.yaml"), *SAMPLES.glob("flux/*.yaml")]):
        yield from yaml.safe_load_all(file.read_text())


def _folders(spec: Mapping[str, Any]) -> Iterator[str]:
    template = spec.get("template", {}).get("spec", {})
    for holder in (spec, spec.get("source", {}), template.get("source", {})):
        if "path" in holder:
            yield holder["path"].removeprefix("./")


def _namespace(folder: str) -> str:
    overlay = yaml.safe_load((SAMPLES / folder / "kustomization.yaml").read_text())
    namespace: str = overlay["namespace"]
    return namespace
