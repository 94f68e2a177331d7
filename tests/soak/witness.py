"""Somebody who watches all objects, as `kubectl get --watch` shows them, and forgets nothing."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from tests.cluster.controlplane import Cluster

Body = Mapping[str, Any]


class Witness:
    """Watches the ConfigBuilds of a namespace: which builds were named, and what was untrue.

    ``contradictions`` judges each state that was shown. A context manager: watches inside it.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, contradictions: Callable[[Body], Iterator[str]]
    ) -> None:
        self.untrue: list[str] = []
        self._contradictions = contradictions
        self._named: defaultdict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self._latest: dict[str, str] = {}
        self._argv = [
            str(cluster.assets.kubectl),
            f"--kubeconfig={cluster.kubeconfig}",
            *("get", "cb", "-n", namespace, "--watch", "-o", 'jsonpath={}{"\\n"}'),
        ]

    def __enter__(self) -> Self:
        self._kubectl = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._kubectl.kill()
        self._thread.join()
        self._kubectl.wait()

    def named_by(self, uid: str) -> set[str]:
        """Name the builds that an object has ever named."""
        with self._lock:
            return set(self._named[uid])

    def named(self) -> set[str]:
        """Name the builds that any object has ever named."""
        with self._lock:
            return set().union(*self._named.values())

    def has_seen(self, body: Body) -> bool:
        """Tell whether the watch has come as far as this state of an object."""
        with self._lock:
            latest = self._latest.get(body["metadata"]["uid"], "0")
        return int(latest) >= int(body["metadata"]["resourceVersion"])

    def origin(self, build_id: str, *, living: set[str]) -> str:
        """Tell of a build that no status names any more how that came; ``living`` are uids."""
        with self._lock:
            owners = {uid for uid, named in self._named.items() if build_id in named}
        if not owners:
            return "never named"
        return "dropped by a history" if owners & living else "of deleted objects"

    def _watch(self) -> None:
        assert self._kubectl.stdout is not None
        with self._kubectl.stdout as lines:
            for line in lines:
                self._see(json.loads(line))

    def _see(self, body: Body) -> None:
        metadata, status = body["metadata"], body.get("status") or {}
        rows = [status.get("build") or {}, *status.get("history", [])]
        with self._lock:
            self._latest[metadata["uid"]] = metadata["resourceVersion"]
            self._named[metadata["uid"]] |= {row["id"] for row in rows if row}
            for finding in self._contradictions(body):
                version = metadata["resourceVersion"]
                self.untrue.append(f"{metadata['name']} at {version}: {finding}")
