"""Where everything is inside the directory of one control plane. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .certs import Pki


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one control plane; nothing of it lies outside `root`."""

    root: Path

    @property
    def record(self) -> Path:
        """JSON with what is not fixed by the layout; there once the plane is ready."""
        return self.root / "cluster.json"

    @property
    def etcd_data(self) -> Path:
        """Etcd's database, removed when the plane stops (130 MB even when empty)."""
        return self.root / "etcd"

    @property
    def pki(self) -> Pki:
        """Certificates and keys."""
        return Pki(self.root / "pki")

    @property
    def admin_kubeconfig(self) -> Path:
        """Kubeconfig of a member of system:masters."""
        return self.kubeconfig("admin")

    @property
    def controller_manager_kubeconfig(self) -> Path:
        return self.kubeconfig("controller-manager")

    @property
    def audit_policy(self) -> Path:
        """What the API server is to record."""
        return self.root / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        """What it recorded: one JSON object a line."""
        return self.root / "audit.log"

    @property
    def kubectl_home(self) -> Path:
        """HOME of every kubectl, so that discovery caches are not the user's."""
        return self.root / "kubectl-home"

    def kubeconfig(self, name: str) -> Path:
        """Kubeconfig of somebody, by a name that is unique in this plane."""
        return self.root / "kubeconfigs" / f"{name}.yaml"

    def log(self, component: str) -> Path:
        """Standard output and standard error of a component."""
        return self.root / "logs" / f"{component}.log"

    def make(self) -> None:
        """Create the directories, readable by their owner only (they hold keys).

        Raises:
            FileExistsError: `root` exists and is not empty.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self.root.iterdir()):
            raise FileExistsError(
                f"{self.root} is not empty: a control plane wants a directory of its "
                "own; name another one, or remove it"
            )
        for directory in (
            self.etcd_data,
            self.pki.directory,
            self.kubectl_home,
            self.admin_kubeconfig.parent,
            self.log("any").parent,
        ):
            directory.mkdir(mode=0o700)
