"""What can go wrong with a control plane.

::

    ControlPlaneError
    ├── AssetsError          the programs were neither found nor could they be built
    ├── StartError           a component did not become ready, or the plane is gone
    │   └── PortTakenError  another process took a port between pick and bind
    ├── KubectlError         kubectl exited with something else than 0
    └── ApiError             the API server answered with an error status
"""

from __future__ import annotations

from collections.abc import Sequence


class ControlPlaneError(Exception):
    """Base of all errors of this package."""


class AssetsError(ControlPlaneError):
    """The programs were neither found nor could they be built."""


class StartError(ControlPlaneError):
    """A component did not become ready; the message ends with the tail of its log."""


class PortTakenError(StartError):
    """Another process took a port between our pick and the component's bind."""


class KubectlError(ControlPlaneError):
    """Kubectl exited with something else than 0."""

    def __init__(self, args: Sequence[str], code: int, stderr: str) -> None:
        """Keep the exit code and what kubectl wrote to standard error."""
        super().__init__(f"kubectl {' '.join(args)} exited with {code}: {stderr}")
        self.code = code
        self.stderr = stderr


class ApiError(ControlPlaneError):
    """The API server answered with an error status."""

    def __init__(self, request: str, code: int, message: str) -> None:
        """Keep the HTTP status code next to the server's own message."""
        super().__init__(f"{request} was answered with {code}: {message}")
        self.code = code
