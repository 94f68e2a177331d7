"""kopf is told to do for an event what an event handler needs, and nothing else."""

from __future__ import annotations

import kopf

from configbuild.kube.watch import watch_settings


def test_kopf_compares_and_copies_nothing() -> None:
    storage = watch_settings().persistence.diffbase_storage
    body = kopf.Body({"metadata": {}, "spec": {"config": {"path": "rules"}}})
    patch = kopf.Patch()

    essence = storage.build(body=body, extra_fields=None)
    storage.store(body=body, patch=patch, essence=essence)

    assert essence == {}
    assert storage.fetch(body=body) is None
    assert not patch
