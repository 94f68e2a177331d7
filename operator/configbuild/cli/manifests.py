"""What stands in FILE: the ConfigBuild that is to be built, and ConfigMaps that it may draw on.

What an API server would refuse is refused here too; every error names file, document and field.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from configbuild.cli.documents import Document, InputError, read_documents
from configbuild.errors import SourceError
from configbuild.model import ConfigKey
from configbuild.resource import API_VERSION, GROUP, KIND
from configbuild.resource.rules import ApiModel, matches
from configbuild.resource.schema import ConfigBuildSpec, Name
from configbuild.sources import ConfigMapContent

# Of objects that name none, as kubectl has it.
DEFAULT_NAMESPACE = "default"

_PLAIN = re.compile("[A-Za-z][A-Za-z0-9]*")
_SUBJECT = re.compile("^(Input|String|List|Dictionary) should ")

# RFC 1123. Name and namespace become directories and ids.
Label = Annotated[
    str,
    Field(min_length=1, max_length=63),
    matches(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must consist of lower-case letters, digits and '-', with no '-' first or last",
    ),
]

# Without items a key becomes a file of its name, so this also keeps files where they belong.
DataKey = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matches("^[-._a-zA-Z0-9]+$", "must consist of letters, digits, '-', '_' and '.'"),
    matches(r"^(\.?[^.]|\.$)", "must not begin with '..'"),
]


def _decoded(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise ValueError("must be base64") from None


Base64 = Annotated[bytes, BeforeValidator(_decoded)]


class _Metadata(ApiModel):
    """What is read of an object's metadata, and what may stand beside it."""

    name: Name
    namespace: Label | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    # Written by API servers, and so found in files that were taken from one.
    creation_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    deletion_timestamp: Any = None
    finalizers: Any = None
    generate_name: Any = None
    generation: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    resource_version: Any = None
    self_link: Any = None
    uid: Any = None


class _ConfigBuildMetadata(_Metadata):
    name: Label


class _ConfigBuild(ApiModel):
    api_version: Literal["ade.dev/v1alpha1"]
    kind: Literal["ConfigBuild"]
    metadata: _ConfigBuildMetadata
    spec: ConfigBuildSpec
    status: Any = None


class ConfigMap(ApiModel):
    """A ConfigMap as it stands in a file."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: _Metadata
    data: dict[DataKey, str] | None = None
    binary_data: dict[DataKey, Base64] | None = None
    immutable: bool | None = None

    @model_validator(mode="after")
    def _no_key_twice(self) -> ConfigMap:
        for key in sorted((self.data or {}).keys() & (self.binary_data or {}).keys()):
            raise ValueError(f"data and binaryData both have the key {key!r}")
        return self

    def is_called(self, namespace: str, name: str) -> bool:
        """Whether it is this one; without a namespace it belongs to whoever asks."""
        return self.metadata.name == name and self.metadata.namespace in (None, namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredBuild:
    """A ConfigBuild; its ``spec`` is JSON data that the schema accepts."""

    document: Document
    key: ConfigKey
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """All that was found in a file, in its order."""

    file: str
    builds: tuple[DeclaredBuild, ...]
    config_maps: tuple[ConfigMap, ...]

    def choose(self, name: str | None) -> DeclaredBuild:
        """Pick the ConfigBuild called ``name`` or ``namespace/name``; ``None``: the only one."""
        found = [build for build in self.builds if name in (None, build.key.name, str(build.key))]
        names = ", ".join(str(build.key) for build in self.builds)
        if not found:
            raise InputError(f"{self.file}: there is no ConfigBuild {name!r}; it has: {names}")
        if len(found) > 1:
            raise InputError(
                f"{self.file}: has several ConfigBuilds; choose one with --name: {names}"
            )
        return found[0]

    async def get(self, namespace: str, name: str) -> ConfigMapContent:
        """Give a ConfigMap; see :class:`configbuild.sources.ConfigMaps`."""
        for found in self.config_maps:
            if found.is_called(namespace, name):
                return ConfigMapContent(data=found.data or {}, binary_data=found.binary_data or {})
        there = ", ".join(found.metadata.name for found in self.config_maps) or "none"
        raise SourceError(
            "spec.config.configMap.name",
            f"there is no ConfigMap {name!r} of namespace {namespace!r} in {self.file} (it has:"
            f" {there}); without a cluster it has to stand in the same file",
            reason="ConfigMapNotFound",
            missing=True,
        )


def read_manifests(content: bytes, file: str) -> Manifests:
    """Read a file that errors call ``file``; objects of other kinds are passed over.

    :class:`InputError` if a document is wrong, or if there is no ConfigBuild.
    """
    documents = read_documents(content, file)
    found = Manifests(
        file=file,
        builds=tuple(_declared(document) for document in documents if _is_ours(document)),
        config_maps=tuple(
            _checked(ConfigMap, document)
            for document in documents
            if document.content["kind"] == "ConfigMap"
        ),
    )
    if not found.builds:
        there = ", ".join(document.title for document in documents) or "nothing"
        raise InputError(f"{file}: has no {KIND} ({API_VERSION}); it has: {there}")
    _refuse_twice(file, (f"ConfigBuild {build.key}" for build in found.builds))
    _refuse_twice(
        file,
        (f"ConfigMap {it.metadata.namespace or ''}/{it.metadata.name}" for it in found.config_maps),
    )
    return found


def _is_ours(document: Document) -> bool:
    """Whether it is a ConfigBuild, or was meant to be one."""
    version: str = document.content["apiVersion"]
    return version.startswith(f"{GROUP}/") or document.content["kind"] == KIND


def _declared(document: Document) -> DeclaredBuild:
    metadata = _checked(_ConfigBuild, document).metadata
    return DeclaredBuild(
        document=document,
        key=ConfigKey(metadata.namespace or DEFAULT_NAMESPACE, metadata.name),
        spec=document.content["spec"],
    )


Model = TypeVar("Model", bound=ApiModel)


def _checked(model: type[Model], document: Document) -> Model:
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        raise document.error(*map(_problem, error.errors(include_url=False))) from None


def _problem(error: Mapping[str, Any]) -> str:
    # "[key]" is pydantic's mark for the key of a dictionary rather than its value.
    parts = [part for part in error["loc"] if part != "[key]"]
    path = "".join(f".{part}" if _PLAIN.fullmatch(str(part)) else f"[{part!r}]" for part in parts)
    return f"{path.lstrip('.')}: {_words(error)}" if path else _words(error)


def _words(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "there is no such field; check its spelling and its place"
        case "string_type" if isinstance(error["input"], (bool, int, float)):
            return f'must be a string: write it in quotes, as in "{error["input"]}"'
        case "model_type" | "dict_type":
            return "must be an object"
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            message: str = error["msg"]
            return _SUBJECT.sub("must ", message)


def _refuse_twice(file: str, names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InputError(f"{file}: has {name.replace(' /', ' ')} twice")
        seen.add(name)
