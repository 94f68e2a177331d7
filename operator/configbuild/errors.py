"""The errors that cross rooms, and the machine-readable reason that each carries.

A room that has errors of its own derives them from these (``TreeError``, ``InterpreterError`` …).

::

    ConfigBuildError
    ├── SpecError                a field of the spec is wrong; names the field
    │   └── SourceKindError      a kind of source this operator cannot build from
    ├── SourceError              the source cannot be resolved now (``SourceUnavailable``)
    ├── StepError                a step of a build ended badly
    │   ├── CommandError         a command exited non-zero or by a signal
    │   └── BuildTimeoutError    the build ran out of its time
    ├── LauncherError            the launcher could not start, or died
    ├── JournalError             a build's journal cannot be written or made sense of
    ├── ClusterError             the API server refused a call or did not answer
    ├── QueueFullError           no room for another build
    ├── BuildRunningError        a build of this config runs already; names it
    ├── SuspendedError           the config is suspended
    └── NotFoundError            no such config, or no such build

A ``reason`` is CamelCase and stands unchanged in conditions, Events, metrics, journals and HTTP
problems, so that one can be searched for in all of them.
"""

from __future__ import annotations


class ConfigBuildError(Exception):
    """Something went wrong that a person can act on.

    ``message`` is a whole sentence for people: what was wrong, where, and what to do next.
    """

    reason = "InternalError"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class SpecError(ConfigBuildError):
    """A field of the spec holds something that cannot be built from.

    ``field`` is the path as a manifest's author writes it, e.g. ``spec.install.constraints[2]``.
    """

    reason = "InvalidSpec"

    def __init__(self, field: str, problem: str, *, reason: str | None = None) -> None:
        super().__init__(f"{field}: {problem}", reason=reason)
        self.field = field


class SourceKindError(SpecError):
    """The spec names a kind of source that this operator lacks a program for."""

    reason = "SourceKindUnavailable"


class SourceError(ConfigBuildError):
    """The source is declared well but cannot be had now; it is tried again later.

    ``missing``: somebody has to put it there, rather than wait.
    """

    reason = "SourceUnavailable"

    def __init__(
        self, field: str, problem: str, *, reason: str | None = None, missing: bool = False
    ) -> None:
        super().__init__(f"{field}: {problem}", reason=reason)
        self.field = field
        self.missing = missing


class StepError(ConfigBuildError):
    """A step of a build ended badly; ``exit_code`` is that of the command, where there was one.

    ``hint`` is one line that says what to change.
    """

    reason = "StepFailed"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        exit_code: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.exit_code = exit_code
        self.hint = hint


class CommandError(StepError):
    """A command of a step exited with something other than 0, or was ended by a signal."""

    reason = "CommandFailed"


class BuildTimeoutError(StepError):
    """The build took longer than its timeout, counted from its first step."""

    reason = "Timeout"


class LauncherError(ConfigBuildError):
    """The launcher, the process between the operator and a build, could not start or died."""

    reason = "LauncherFailed"


class JournalError(ConfigBuildError):
    """A build's journal cannot be written, or cannot be made sense of."""

    reason = "JournalFailed"


class ClusterError(ConfigBuildError):
    """The API server refused a call or did not answer."""

    reason = "ClusterUnavailable"


class QueueFullError(ConfigBuildError):
    """As many builds wait as are allowed to."""

    reason = "QueueFull"


class BuildRunningError(ConfigBuildError):
    """A build of this config runs already, and the caller did not ask to join or replace it."""

    reason = "BuildRunning"

    def __init__(self, message: str, *, build_id: str) -> None:
        super().__init__(message)
        self.build_id = build_id


class SuspendedError(ConfigBuildError):
    """The config says ``suspend: true``: nothing is built until that changes."""

    reason = "Suspended"


class NotFoundError(ConfigBuildError):
    """No such config or build."""

    reason = "NotFound"
