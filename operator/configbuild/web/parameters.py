"""What stands in paths and queries, checked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from configbuild.errors import NotFoundError
from configbuild.model import BuildId, ConfigKey

# RFC 1123 label and subdomain, as Kubernetes checks names; a ConfigBuild's is a label's length.
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"

WorkspaceId = Annotated[
    str, Path(description="The namespace.", pattern=rf"^{_LABEL}$", max_length=63)
]
ConfigId = Annotated[
    str,
    Path(
        description="The name of the ConfigBuild.",
        pattern=rf"^{_LABEL}(\.{_LABEL})*$",
        max_length=63,
    ),
]

# Programs that know integers as doubles only can still hold it.
_MAX_ID = 2**53 - 1
AfterId = Annotated[
    int, Query(description="The cursor: only what comes after this event.", ge=0, le=_MAX_ID)
]


def _key(workspace_id: WorkspaceId, config_id: ConfigId) -> ConfigKey:
    return ConfigKey(workspace_id, config_id)


def _build_id(
    build_id: Annotated[str, Path(description="build_ and a ULID.")],
) -> BuildId:
    try:
        return BuildId.parse(build_id)
    except ValueError:
        raise NotFoundError(f"there is no build {build_id[:64]}") from None


KeyOf = Annotated[ConfigKey, Depends(_key)]
BuildIdOf = Annotated[BuildId, Depends(_build_id)]
