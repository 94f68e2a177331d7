"""Start a control plane, and end it: etcd, kube-apiserver, kube-controller-manager."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from . import flags
from .assets import Assets
from .certs import create_pki
from .cluster import Cluster
from .component import Component
from .errors import PortTakenError, StartError
from .kubeconfig import certificate_user, write_kubeconfig
from .layout import Layout
from .member import Member
from .ports import Ports, pick_ports
from .waiting import wait_until

# Five seconds on two idle cores; a test run keeps them busy.
READY_TIMEOUT_S = 120.0
# With watches open, kube-apiserver takes up to 60 s on SIGTERM. Nothing here needs that.
GRACE_S = 5.0
# Each try has new ports; even one lost race is rare.
PORT_TRIES = 5

APISERVER = "kube-apiserver"
# What Go's net package says, in etcd's and in kube-apiserver's log.
_PORT_TAKEN = "address already in use"


class ControlPlane(Cluster):
    """A control plane whose processes are children of this one.

    A context manager that stops it. Whatever happens, even SIGKILL of this process, the
    children do not outlive it.
    """

    def __init__(
        self, layout: Layout, *, ports: Ports, assets: Assets, member: Member | None = None
    ) -> None:
        """Prepare only; see `start`."""
        super().__init__(layout.root, url=flags.apiserver_url(ports), assets=assets)
        self._ports = ports
        self._member = member
        self._components: dict[str, Component] = {}

    @classmethod
    def start(cls, directory: Path, *, assets: Assets, member: Member | None = None) -> Self:
        """Start a control plane in a directory of its own; return it ready for requests.

        With a ``member`` it is reached from outside of this machine's loopback, and there are
        certificates for that node; without, it has no node.

        Ready means: the API server says so, and kube-controller-manager has begun its
        work. Takes about 5 s. An interrupt or an error on the way stops what has been
        started. Not to be called from an event loop: it blocks.

        Raises:
            FileExistsError: `directory` is there and not empty.
            StartError: a component ended or did not become ready; with its log's tail.
        """
        layout = Layout(directory.absolute())
        layout.make()
        create_pki(layout.pki, member)
        layout.audit_policy.write_text(json.dumps(flags.AUDIT_POLICY))
        for _ in range(PORT_TRIES - 1):
            try:
                return cls._start_once(layout, assets, member)
            except PortTakenError:
                continue
        return cls._start_once(layout, assets, member)

    @classmethod
    def _start_once(cls, layout: Layout, assets: Assets, member: Member | None) -> Self:
        plane = cls(layout, ports=pick_ports(), assets=assets, member=member)
        try:
            plane._write_kubeconfigs()
            plane._launch_all()
        except BaseException:
            plane.stop(grace_s=0)
            raise
        return plane

    def _write_kubeconfigs(self) -> None:
        pki = self._layout.pki
        for path, pair in (
            (self._layout.admin_kubeconfig, pki.admin),
            (self._layout.controller_manager_kubeconfig, pki.controller_manager),
        ):
            write_kubeconfig(path, url=self.url, ca=self.ca, user=certificate_user(pair))

    def _launch_all(self) -> None:
        self._layout.etcd_data.mkdir(mode=0o700, exist_ok=True)
        self._launch("etcd", flags.etcd(self.assets, self._layout, self._ports))
        apiserver = flags.kube_apiserver(self.assets, self._layout, self._ports, self._member)
        self._launch(APISERVER, apiserver)
        self._await(self.ready, what="the API server's /readyz says ok")
        # Only now: it gives up when the API server does not answer within 10 s.
        self._launch(
            "kube-controller-manager", flags.kube_controller_manager(self.assets, self._layout)
        )
        self._await(
            lambda: self.has_default_service_account("default"),
            what="kube-controller-manager makes the first service account",
        )
        self.save()

    def _launch(self, name: str, argv: list[str]) -> None:
        self._components[name] = Component(name, argv, log=self._layout.log(name))

    def _await(self, question: Callable[[], bool], *, what: str) -> None:
        def answer() -> bool:
            self.check()
            return question()

        try:
            wait_until(answer, what=what, timeout_s=READY_TIMEOUT_S)
        except TimeoutError as error:
            logs = "\n".join(_end_of_log(c) for c in self._components.values())
            raise StartError(f"{error}\n{logs}") from None

    def check(self) -> None:
        """Make sure that each component runs.

        Raises:
            StartError: one has ended; with its exit code and its log's tail.
        """
        for component in self._components.values():
            if component.running:
                continue
            message = f"{component.name} exited with {component.exit_code}"
            cause = PortTakenError if _PORT_TAKEN in component.log_tail() else StartError
            raise cause(f"{message}\n{_end_of_log(component)}")

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by the component's name."""
        return {name: component.pid for name, component in self._components.items()}

    def pause_apiserver(self) -> None:
        """Freeze the API server: connections stay open, and nothing is answered."""
        self._components[APISERVER].pause()

    def resume_apiserver(self) -> None:
        """Let the API server go on after `pause_apiserver`."""
        self._components[APISERVER].resume()

    def restart_apiserver(self, down_s: float = 0) -> None:
        """Stop the API server, leave it down for so many seconds, and start it again.

        Returns when it is ready, at the same address and with the same data.

        Raises:
            StartError: it did not become ready again, or its port was taken meanwhile.
        """
        apiserver = self._components[APISERVER]
        apiserver.stop(grace_s=GRACE_S)
        time.sleep(down_s)
        self._components[APISERVER] = apiserver.again()
        self._await(self.ready, what="the restarted API server's /readyz says ok")

    def stop(self, *, grace_s: float = GRACE_S) -> None:
        """End all components and remove the data; logs and audit log stay. May be repeated.

        Each has `grace_s` seconds between SIGTERM and SIGKILL; with 0 there is no SIGTERM.
        """
        self._layout.record.unlink(missing_ok=True)
        for component in reversed(self._components.values()):  # clients before their servers
            component.stop(grace_s=grace_s)
        shutil.rmtree(self._layout.etcd_data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _end_of_log(component: Component) -> str:
    return f"end of {component.log}:\n{component.log_tail()}"
