"""Plays a node: pods that it is given run as the test says, and their logs are what it writes.

The API server of the tests has no kubelet. For who reads a pod's log it asks the node's address,
which is this one.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from configbuild.web.certificates import Authority
from configbuild.web.tls import Tls
from tests.cluster.controlplane import Cluster

_END = None


class Kubelet:
    """A node of that name; what is :meth:`written` is the log of any pod on it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._blocks: queue.Queue[bytes | None] = queue.Queue()

    def take(self, namespace: str, pod: str) -> None:
        """Have a pod assigned to this node, and its container begin."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.name},
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/binding"
        self._cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
        started = {"startedAt": "2026-03-01T12:30:45Z"}
        self.report(namespace, pod, "Running", {"running": started})

    def write(self, block: bytes) -> None:
        """Have a pod write something."""
        self._blocks.put(block)

    def end(self, namespace: str, pod: str, *, code: int) -> None:
        """Have its container end, and then its log."""
        times = {"startedAt": "2026-03-01T12:30:45Z", "finishedAt": "2026-03-01T12:30:46Z"}
        reason = "Error" if code else "Completed"
        state = {"terminated": {"exitCode": code, "reason": reason, **times}}
        self.report(namespace, pod, "Failed" if code else "Succeeded", state)
        self._blocks.put(_END)

    def report(self, namespace: str, pod: str, phase: str, state: Mapping[str, Any]) -> None:
        """Write a pod's status."""
        container = {
            "name": "run",
            "image": "i",
            "imageID": "i",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        status = {"status": {"phase": phase, "containerStatuses": [container]}}
        where = ("-n", namespace, "--subresource=status", "--type=merge")
        self._cluster.kubectl("patch", "pod", pod, *where, "-p", json.dumps(status))

    def blocks(self) -> Iterator[bytes]:
        """Give what was written, as it comes, to its end."""
        while (block := self._blocks.get()) is not _END:
            yield block


@contextmanager
def playing_kubelet(cluster: Cluster, name: str) -> Iterator[Kubelet]:
    """Serve as a node of that name; it is gone afterwards."""
    kubelet = Kubelet(cluster, name)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert self.path.startswith("/containerLogs/"), self.path
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for block in kubelet.blocks():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = Tls(Authority(names=["127.0.0.1"]).issue()).context
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        _register(cluster, name, server.server_address[1])
        yield kubelet
    finally:
        kubelet._blocks.put(_END)
        cluster.kubectl("delete", "node", name, "--ignore-not-found", "--wait=false")
        server.shutdown()
        server.server_close()
        thread.join()


def _register(cluster: Cluster, name: str, port: int) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(node))
    status = {
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
    }
    where = ("--subresource=status", "--type=merge")
    cluster.kubectl("patch", "node", name, *where, "-p", json.dumps(status))
