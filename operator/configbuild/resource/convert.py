"""From a ``ConfigBuild`` as its author wrote it to a :class:`~configbuild.model.BuildSpec`.

Two kinds of fault are told apart. What the schema can judge is judged by the models of
:mod:`configbuild.resource.schema` (at the API server already, and here for files). What needs the
rules of Python packaging or the operator's settings is judged here. Either way the error names the
field as it stands in the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from configbuild.durations import format_duration, parse_duration
from configbuild.errors import SpecError
from configbuild.model import (
    ArchiveSource,
    BuildSpec,
    ConfigMapItem,
    ConfigMapSource,
    ConfigSource,
    EngineSource,
    GitSource,
    IndexOptions,
    Installer,
    InstallOptions,
    PathSource,
    RequirementSource,
)
from configbuild.requirements import normalize_requirement
from configbuild.resource.schema import (
    ArchiveSpec,
    ConfigBuildSpec,
    ConfigSpec,
    EngineSpec,
    GitRefSpec,
    GitSpec,
    InstallSpec,
)
from configbuild.urls import HttpsUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecDefaults:
    """What the operator's settings give to fields that a spec leaves out, and their ceilings.

    ``engine`` is a requirement, or ``None`` if every spec must name its own; ``python`` an ``X.Y``.
    """

    python: str
    engine: str | None = None
    installer: Installer = Installer.UV
    index_url: str | None = None
    verify_imports: tuple[str, ...] = ("ade_engine", "ade_config")
    timeout_s: float = 600.0
    max_timeout_s: float = 3600.0
    ttl_s: float | None = None
    interval_s: float | None = 600.0
    history_limit: int = 5
    retention_s: float | None = 168 * 3600.0


def parse_spec(spec: Mapping[str, Any]) -> ConfigBuildSpec:
    """Check a ``spec`` (JSON data) against the schema; :class:`SpecError` names the field."""
    try:
        return ConfigBuildSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpecError(_field_path(first["loc"]), str(first["msg"])) from None


def resolve_spec(declared: ConfigBuildSpec, defaults: SpecDefaults) -> BuildSpec:
    """Fill in defaults and parse what is text in the schema; :class:`SpecError` names the field."""
    verify = declared.verify
    history = declared.history
    return BuildSpec(
        engine=_engine(declared.engine, defaults.engine),
        config=_config(declared.config),
        python=declared.python or defaults.python,
        install=_install(declared.install or InstallSpec(), defaults),
        verify_imports=tuple((verify and verify.imports) or defaults.verify_imports),
        timeout_s=_timeout(declared.timeout, defaults),
        ttl_s=_seconds(declared.ttl, defaults.ttl_s),
        interval_s=_seconds(declared.interval, defaults.interval_s),
        history_limit=(
            history.limit if history and history.limit is not None else defaults.history_limit
        ),
        retention_s=_seconds(history.retention if history else None, defaults.retention_s),
    )


def _engine(declared: EngineSpec | None, default: str | None) -> EngineSource:
    if declared is None:
        if default is None:
            raise SpecError(
                "spec.engine",
                "is missing, and the operator has no default engine (ADE_ENGINE_SPEC);"
                " set spec.engine.requirement or spec.engine.path",
            )
        return RequirementSource(requirement=normalize_requirement(default, "ADE_ENGINE_SPEC"))
    if declared.path is not None:
        return PathSource(path=_tree_path(declared.path, "spec.engine.path"))
    assert declared.requirement is not None
    field = "spec.engine.requirement"
    return RequirementSource(requirement=normalize_requirement(declared.requirement, field))


def _config(declared: ConfigSpec) -> ConfigSource:
    if declared.path is not None:
        return PathSource(path=_tree_path(declared.path, "spec.config.path"))
    if declared.requirement is not None:
        field = "spec.config.requirement"
        return RequirementSource(requirement=normalize_requirement(declared.requirement, field))
    if declared.config_map is not None:
        source = declared.config_map
        items = tuple(
            ConfigMapItem(key=item.key, path=_file_path(item.path, f"{_ITEMS}[{index}].path"))
            for index, item in enumerate(source.items or ())
        )
        _refuse_clashes(items)
        return ConfigMapSource(name=source.name, items=items, archive_key=source.archive_key)
    if declared.archive is not None:
        return _archive(declared.archive)
    assert declared.git is not None
    return _git(declared.git)


def _git(declared: GitSpec) -> GitSource:
    field = "spec.config.git"
    return GitSource(
        url=_url(declared.url, f"{field}.url"),
        ref=_ref(declared.ref, f"{field}.ref"),
        path=_tree_path(declared.path or ".", f"{field}.path"),
        secret=declared.secret_ref.name if declared.secret_ref is not None else None,
    )


def _ref(declared: GitRefSpec, field: str) -> str:
    """Write a branch or tag as a whole reference, so that it is never an option or a pattern."""
    if declared.commit is not None:
        return declared.commit
    if declared.branch is not None:
        ref, field = f"refs/heads/{declared.branch}", f"{field}.branch"
    else:
        ref, field = f"refs/tags/{declared.tag}", f"{field}.tag"
    if not _IS_REF.fullmatch(ref):
        raise SpecError(field, "is no name that Git allows; see git check-ref-format")
    return ref


def _archive(declared: ArchiveSpec) -> ArchiveSource:
    field = "spec.config.archive"
    return ArchiveSource(
        url=_url(declared.url, f"{field}.url"),
        sha256=declared.sha256,
        path=_tree_path(declared.path or ".", f"{field}.path"),
    )


def _url(text: str, field: str) -> str:
    """Refuse what programs read in different ways; the schema cannot judge that."""
    try:
        return HttpsUrl.parse(text).text
    except ValueError as error:
        raise SpecError(field, str(error)) from None


# git-check-ref-format(1): no part begins with a dot or ends in .lock; nowhere "..", "@{", a space,
# a control character or one of ~^:?*[\; no dot at the end, no empty part. And no dash in front.
_IS_REF = re.compile(
    r"(?!.*(?:\.\.|@\{|/\.|\.lock(?:/|$)|//))refs/(?:heads|tags)/(?!-)[^\x00-\x20\x7f~^:?*\[\\]+(?<![./])"
)

_ITEMS = "spec.config.configMap.items"


def _refuse_clashes(items: tuple[ConfigMapItem, ...]) -> None:
    """Refuse two items for one file, or a file where another item needs a folder."""
    paths = [item.path for item in items]
    taken = set(paths)
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise SpecError(f"{_ITEMS}[{index}].path", f"{path!r} is the path of two items")
        parents = {"/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)}
        if parents & taken:
            raise SpecError(
                f"{_ITEMS}[{index}].path",
                f"{path!r} lies below {min(parents & taken)!r}, which is a file of another item",
            )


def _file_path(path: str, field: str) -> str:
    normal = _tree_path(path, field)
    if normal == ".":
        raise SpecError(field, f"{path!r} names the whole tree; name a file in it")
    return normal


def _tree_path(path: str, field: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise SpecError(field, f"{path!r} holds a control character; use a plain relative path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or "\\" in path or ".." in parts:
        raise SpecError(field, f"{path!r} must be relative, with forward slashes, without '..'")
    return "/".join(parts) or "."


def _install(declared: InstallSpec, defaults: SpecDefaults) -> InstallOptions:
    constraints = tuple(
        normalize_requirement(text, f"spec.install.constraints[{index}]")
        for index, text in enumerate(declared.constraints or ())
    )
    index = declared.index
    urls: tuple[str, ...] = (defaults.index_url,) if defaults.index_url else ()
    if index is not None and index.url is not None:
        urls = (
            _url(index.url, "spec.install.index.url"),
            *(
                _url(url, f"spec.install.index.extraUrls[{number}]")
                for number, url in enumerate(index.extra_urls or ())
            ),
        )
    secret = index.secret_ref.name if index is not None and index.secret_ref is not None else None
    if secret is not None and not urls:
        raise SpecError(
            "spec.install.index.secretRef",
            "there is no index that it could be for; set spec.install.index.url",
        )
    installer = Installer(declared.installer) if declared.installer else defaults.installer
    if installer is Installer.PIP and len(urls) > 1:
        raise SpecError(
            "spec.install.index.extraUrls",
            "work with the installer uv only, and the operator's default is pip"
            " (ADE_INSTALLER); set spec.install.installer: uv",
        )
    return InstallOptions(
        installer=installer,
        dependencies=declared.dependencies is not False,
        constraints=tuple(sorted(set(constraints))),
        index=IndexOptions(urls=urls, secret=secret),
        compile_bytecode=declared.compile_bytecode is not False,
        only_binary=declared.only_binary is True,
    )


def _timeout(declared: str | None, defaults: SpecDefaults) -> float:
    if declared is None:
        return min(defaults.timeout_s, defaults.max_timeout_s)
    seconds = parse_duration(declared)
    if seconds > defaults.max_timeout_s:
        raise SpecError(
            "spec.timeout",
            f"{declared} is above the operator's ceiling of"
            f" {format_duration(defaults.max_timeout_s)} (ADE_MAX_BUILD_TIMEOUT_SECONDS)",
        )
    return seconds


def _seconds(declared: str | None, default: float | None) -> float | None:
    return parse_duration(declared) if declared else default


def _field_path(location: tuple[int | str, ...]) -> str:
    path = "spec"
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path
