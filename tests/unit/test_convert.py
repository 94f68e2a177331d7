"""From a spec as its author wrote it to one in which nothing is left out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.errors import SpecError
from configbuild.model import (
    ArchiveSource,
    BuildSpec,
    ConfigMapItem,
    ConfigMapSource,
    GitSource,
    IndexOptions,
    Installer,
    InstallOptions,
    PathSource,
    RequirementSource,
)
from configbuild.resource.convert import SpecDefaults, parse_spec, resolve_spec
from tests.unit.examples import DETERMINED

DEFAULTS = SpecDefaults(python="3.12", engine="ade-engine==1.4.0")


def resolve(document: dict[str, Any], defaults: SpecDefaults = DEFAULTS) -> BuildSpec:
    return resolve_spec(parse_spec(document), defaults)


def with_fields(**fields: Any) -> dict[str, Any]:
    return {"config": {"path": "rules"}, **fields}


def test_least_spec_gets_everything_from_the_settings() -> None:
    defaults = SpecDefaults(
        python="3.11",
        engine="Ade_Engine == 2",
        installer=Installer.PIP,
        index_url="https://index.example/simple",
        verify_imports=("ade",),
        timeout_s=1.0,
        ttl_s=2.0,
        interval_s=3.0,
        history_limit=4,
        retention_s=5.0,
    )

    assert resolve(with_fields(), defaults) == BuildSpec(
        engine=RequirementSource(requirement="ade-engine==2"),
        config=PathSource(path="rules"),
        python="3.11",
        install=InstallOptions(
            installer=Installer.PIP, index=IndexOptions(urls=("https://index.example/simple",))
        ),
        verify_imports=("ade",),
        timeout_s=1.0,
        ttl_s=2.0,
        interval_s=3.0,
        history_limit=4,
        retention_s=5.0,
    )


def test_what_a_spec_says_goes_before_the_settings() -> None:
    document = {
        "engine": {"path": "./engine/"},
        "config": {"requirement": "Ade.Config [b,a] >=2"},
        "python": "3.13",
        "interval": "1m",
        "install": {
            "installer": "uv",
            "dependencies": False,
            "constraints": ["Pandas <3", "numpy", "pandas<3"],
            "index": {"url": "https://a/s", "extraUrls": ["https://b/s", "https://a/s"]},
            "compileBytecode": False,
            "onlyBinary": False,
        },
        "verify": {"imports": ["ade_config.rules"]},
        "timeout": "30m",
        "ttl": "720h",
        "history": {"limit": 0, "retention": "1h"},
    }

    assert resolve(document, SpecDefaults(python="3.12", index_url="https://default")) == BuildSpec(
        engine=PathSource(path="engine"),
        config=RequirementSource(requirement="ade-config[a,b]>=2"),
        python="3.13",
        install=InstallOptions(
            installer=Installer.UV,
            dependencies=False,
            constraints=("numpy", "pandas<3"),
            index=IndexOptions(urls=("https://a/s", "https://b/s", "https://a/s")),
            compile_bytecode=False,
            only_binary=False,
        ),
        verify_imports=("ade_config.rules",),
        timeout_s=1800.0,
        ttl_s=720 * 3600.0,
        interval_s=60.0,
        history_limit=0,
        retention_s=3600.0,
    )


@pytest.mark.parametrize(
    ("config", "source"),
    [
        pytest.param(
            {"configMap": {"name": "rules"}}, ConfigMapSource(name="rules"), id="ConfigMap"
        ),
        pytest.param(
            {"configMap": {"name": "rules", "items": [{"key": "a", "path": "./x//y"}]}},
            ConfigMapSource(name="rules", items=(ConfigMapItem(key="a", path="x/y"),)),
            id="ConfigMap with items",
        ),
        pytest.param(
            {"configMap": {"name": "rules", "archiveKey": "a.zip"}},
            ConfigMapSource(name="rules", archive_key="a.zip"),
            id="ConfigMap with an archive",
        ),
        pytest.param({"path": "./a/./b/"}, PathSource(path="a/b"), id="path"),
        pytest.param({"path": "."}, PathSource(path="."), id="whole namespace"),
    ],
)
def test_config_is_one_of_the_sources(config: dict[str, Any], source: object) -> None:
    assert resolve({"config": config}).config == source


def test_onlybinary_is_off_unless_it_is_asked_for() -> None:
    document = {"config": {"requirement": "ade-config"}}

    assert resolve(document).install.only_binary is False
    assert resolve({**document, "install": {"onlyBinary": True}}).install.only_binary is True


def test_missing_engine_is_told_with_what_to_set() -> None:
    with pytest.raises(SpecError, match=r"no default engine \(ADE_ENGINE_SPEC\)") as caught:
        resolve(with_fields(), SpecDefaults(python="3.12"))

    assert caught.value.field == "spec.engine"


def test_fault_of_the_default_engine_is_not_blamed_on_the_spec() -> None:
    with pytest.raises(SpecError) as caught:
        resolve(with_fields(), SpecDefaults(python="3.12", engine="-r x"))

    assert caught.value.field == "ADE_ENGINE_SPEC"


def test_timeout_up_to_the_ceiling_is_taken() -> None:
    defaults = SpecDefaults(python="3.12", engine="ade-engine", max_timeout_s=600.0)

    assert resolve(with_fields(timeout="10m"), defaults).timeout_s == 600.0
    with pytest.raises(SpecError, match=r"10m1s is above the operator's ceiling of 10m00s"):
        resolve(with_fields(timeout="10m1s"), defaults)


def test_default_timeout_above_the_ceiling_is_no_fault_of_the_spec() -> None:
    defaults = SpecDefaults(
        python="3.12", engine="ade-engine", timeout_s=7200.0, max_timeout_s=3600.0
    )

    assert resolve(with_fields(), defaults).timeout_s == 3600.0


def test_more_indexes_are_refused_where_the_settings_choose_pip() -> None:
    defaults = SpecDefaults(python="3.12", engine="ade-engine", installer=Installer.PIP)
    index = {"url": "https://a/s", "extraUrls": ["https://b/s"]}

    with pytest.raises(SpecError, match="with the installer uv only") as caught:
        resolve(with_fields(install={"index": index}), defaults)

    assert caught.value.field in ("spec.install", "spec.install.index.extraUrls")


def test_error_names_the_field_by_its_place_in_the_manifest() -> None:
    items = [{"key": "a", "path": "a"}, {"key": "b", "path": "/b"}]

    with pytest.raises(SpecError) as caught:
        resolve({"config": {"configMap": {"name": "x", "items": items}}})

    assert caught.value.field == "spec.config.configMap.items[1].path"


PATHS = st.lists(
    st.sampled_from(["..", ".", "", "a", "...", "..b", "\\", "\0", "\n", "-r", "ä"]), max_size=5
).map("/".join) | st.text(max_size=8)
MAKERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "config": lambda path: {"config": {"path": path}},
    "engine": lambda path: with_fields(engine={"path": path}),
    "item": lambda path: {
        "config": {"configMap": {"name": "x", "items": [{"key": "k", "path": path}]}}
    },
}


@DETERMINED
@given(PATHS, st.sampled_from(sorted(MAKERS)))
def test_no_path_ever_leaves_its_tree(path: str, maker: str) -> None:
    try:
        made = resolve(MAKERS[maker](path))
    except SpecError:
        return

    source = made.engine if maker == "engine" else made.config
    found = source.items[0].path if isinstance(source, ConfigMapSource) else source
    clean = found.path if isinstance(found, PathSource) else found
    assert isinstance(clean, str)
    assert clean.isprintable() or not clean.isascii()
    assert "\\" not in clean
    if clean == ".":
        # The whole tree may be a source; no file can be there.
        assert maker != "item"
    else:
        assert not {"", ".", ".."} & set(clean.split("/"))


KEYS = st.lists(
    st.builds(lambda path: {"key": "k", "path": path}, st.text("ab/.", min_size=1, max_size=5)),
    min_size=1,
    max_size=3,
)


@DETERMINED
@given(KEYS)
def test_items_that_are_taken_can_all_be_written(items: list[dict[str, str]]) -> None:
    try:
        source = resolve({"config": {"configMap": {"name": "x", "items": items}}}).config
    except SpecError:
        return

    assert isinstance(source, ConfigMapSource)
    written = [item.path for item in source.items]
    assert len(set(written)) == len(written) == len(items)
    assert not any(other.startswith(f"{path}/") for path in written for other in written)


@pytest.mark.parametrize(
    ("declared", "ref"),
    [
        ({"branch": "main"}, "refs/heads/main"),
        ({"branch": "team/größe-1.2_x"}, "refs/heads/team/größe-1.2_x"),
        ({"branch": "refs/tags/v1"}, "refs/heads/refs/tags/v1"),
        ({"branch": "@"}, "refs/heads/@"),
        ({"tag": "v1.0"}, "refs/tags/v1.0"),
        ({"commit": "0" * 40}, "0" * 40),
        ({"commit": "a" * 64}, "a" * 64),
    ],
)
def test_branch_and_tag_are_whole_references(declared: dict[str, str], ref: str) -> None:
    git = {
        "url": "https://git.example/x",
        "ref": declared,
        "path": "./a/",
        "secretRef": {"name": "s"},
    }

    assert resolve({"config": {"git": git}}).config == GitSource(
        url="https://git.example/x", ref=ref, path="a", secret="s"
    )


def test_archive_is_taken_with_its_folder_in_normal_form() -> None:
    archive = {"url": "https://a.example/x.zip?y=1", "sha256": "0" * 64}

    assert resolve({"config": {"archive": archive}}).config == ArchiveSource(
        url="https://a.example/x.zip?y=1", sha256="0" * 64, path="."
    )
    below = resolve({"config": {"archive": {**archive, "path": "a//b/."}}}).config
    assert below == ArchiveSource(url="https://a.example/x.zip?y=1", sha256="0" * 64, path="a/b")


REFS = st.text(st.sampled_from("ab-./\\@{}~^:?*[ \n\x7fä,=;"), min_size=1, max_size=12)


@DETERMINED
@given(REFS)
def test_reference_that_is_taken_is_one_that_git_allows(name: str) -> None:
    git = {"url": "https://git.example/x", "ref": {"branch": name}}
    try:
        found = resolve({"config": {"git": git}}).config
    except SpecError:
        return
    assert isinstance(found, GitSource)
    check = subprocess.run(["git", "check-ref-format", found.ref], check=False)
    assert check.returncode == 0
