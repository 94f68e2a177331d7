"""From the sources that a spec names to trees, or to an error that says what to do."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from configbuild.archives import Limits, TreeFile, read_archive
from configbuild.errors import SourceError, SpecError
from configbuild.model import (
    ConfigMapItem,
    ConfigMapSource,
    ConfigSource,
    GitSource,
    PathSource,
)
from configbuild.process import SandboxUnavailableError
from configbuild.sources import (
    ConfigMapContent,
    Git,
    Ran,
    ResolvedSources,
    SourceResolver,
    config_maps,
    resolver,
)
from configbuild.trees import MemoryTree, Tree
from tests.unit.examples import layout, spec

RULES = ConfigMapContent(
    data={"manifest.json": "{}", "hooks.py": "X = 'ä'\n"}, binary_data={"logo": b"\x89\xff"}
)


@dataclass(frozen=True, slots=True)
class ConfigMapsInMemory:
    """ConfigMaps by namespace and name."""

    known: Mapping[tuple[str, str], ConfigMapContent] = field(default_factory=dict)

    async def get(self, namespace: str, name: str) -> ConfigMapContent | None:
        return self.known.get((namespace, name))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the namespace's source trees, and beside it another namespace's."""
    for namespace in ("team-a", "team-b"):
        tree = tmp_path / "sources" / namespace / "rules"
        tree.mkdir(parents=True)
        (tree / "pyproject.toml").write_text(namespace)
    return tmp_path / "sources" / "team-a"


def resolve(
    root: Path,
    *,
    config: ConfigSource,
    config_map: ConfigMapContent | None = None,
    limits: Limits | None = None,
) -> Tree | None:
    known = {("team-a", "rules"): config_map} if config_map is not None else {}
    made = SourceResolver(
        layout=layout(root.parent.parent),
        config_maps=ConfigMapsInMemory(known),
        limits=limits or Limits(),
    )
    return asyncio.run(made.resolve("team-a", spec(config=config))).config


def copied(tree: Tree | None, tmp_path: Path) -> dict[str, bytes]:
    assert tree is not None
    tree.copy_to(tmp_path / "copy")
    return {
        path.relative_to(tmp_path / "copy").as_posix(): path.read_bytes()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }


def test_requirements_need_no_tree(tmp_path: Path) -> None:
    made = SourceResolver(layout=layout(tmp_path), config_maps=ConfigMapsInMemory())

    found = asyncio.run(made.resolve("team-a", spec()))

    assert found == ResolvedSources(engine=None, config=None)


def test_engine_is_looked_up_like_a_config(root: Path, tmp_path: Path) -> None:
    made = SourceResolver(layout=layout(tmp_path), config_maps=ConfigMapsInMemory())
    wanted = spec(engine=PathSource(path="rules"))

    found = asyncio.run(made.resolve("team-a", wanted))

    assert found.config is None
    assert copied(found.engine, tmp_path) == {"pyproject.toml": b"team-a"}


def test_path_is_a_tree_of_the_namespace(root: Path, tmp_path: Path) -> None:
    assert copied(resolve(root, config=PathSource(path="rules")), tmp_path) == {
        "pyproject.toml": b"team-a"
    }


def test_machine_on_which_git_cannot_be_run_is_told_by_its_own_reason(tmp_path: Path) -> None:
    async def run(*_: object, **__: object) -> Ran:
        raise SandboxUnavailableError("the kernel has no Landlock")

    made = SourceResolver(
        layout=layout(tmp_path),
        config_maps=ConfigMapsInMemory(),
        git=Git(program=Path("/bin/true")),
        run=run,
    )
    source = GitSource(url="https://192.0.2.1/rules.git", ref="refs/heads/main", path=".")

    with pytest.raises(SourceError, match="no Landlock") as caught:
        asyncio.run(made.resolve("team-a", spec(config=source)))

    assert (caught.value.reason, caught.value.field) == ("SandboxUnavailable", "spec.config.git")


def test_link_within_the_namespace_may_lead_to_a_tree(root: Path, tmp_path: Path) -> None:
    (root / "current").symlink_to("rules")

    assert copied(resolve(root, config=PathSource(path="current")), tmp_path) == {
        "pyproject.toml": b"team-a"
    }


def test_namespace_folder_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    elsewhere = root.rename(tmp_path / "volume")
    root.symlink_to(elsewhere)

    assert resolve(root, config=PathSource(path="rules")) is not None


@pytest.mark.parametrize(
    ("link", "path"),
    [
        pytest.param("../team-b", "link/rules", id="another namespace"),
        pytest.param("../team-b/rules", "link", id="a tree of another namespace"),
        pytest.param("/etc", "link", id="the system"),
        pytest.param("..", "link", id="the folder of all namespaces"),
    ],
)
def test_link_that_leads_outside_the_namespace_is_refused(root: Path, link: str, path: str) -> None:
    (root / "link").symlink_to(link)

    with pytest.raises(SpecError, match="leads outside the sources of this namespace") as caught:
        resolve(root, config=PathSource(path=path))

    assert (caught.value.reason, caught.value.field) == ("PathOutsideRoot", "spec.config.path")
    assert str(root) not in caught.value.message


def test_namespace_whose_name_begins_alike_is_outside(root: Path) -> None:
    (root.parent / "team-a2").mkdir()
    (root / "link").symlink_to("../team-a2")

    with pytest.raises(SpecError, match="leads outside"):
        resolve(root, config=PathSource(path="link"))


@pytest.mark.parametrize("path", ["absent", "rules/absent", "loop", "dangling", "a" * 300])
def test_missing_folder_is_worth_another_try(root: Path, path: str) -> None:
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")

    with pytest.raises(SourceError, match=r"put it below team-a/") as caught:
        resolve(root, config=PathSource(path=path))

    assert (caught.value.reason, caught.value.field) == ("SourceNotFound", "spec.config.path")


def test_missing_namespace_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        resolve(tmp_path / "sources" / "team-a", config=PathSource(path="rules"))

    assert caught.value.reason == "SourceNotFound"


def test_file_is_no_source_tree(root: Path) -> None:
    with pytest.raises(SpecError, match=r"'rules/pyproject\.toml' is not a folder") as caught:
        resolve(root, config=PathSource(path="rules/pyproject.toml"))

    assert caught.value.reason == "SourceInvalid"


def test_tree_with_a_link_in_it_is_refused(root: Path) -> None:
    (root / "rules" / "secret").symlink_to("/etc/passwd")

    with pytest.raises(SpecError, match="secret in the source tree rules is a link") as caught:
        resolve(root, config=PathSource(path="rules"))

    assert (caught.value.reason, caught.value.field) == ("SourceInvalid", "spec.config.path")


def test_tree_that_is_too_large_is_refused(root: Path) -> None:
    with pytest.raises(SpecError, match="too large"):
        resolve(root, config=PathSource(path="rules"), limits=Limits(bytes=1))


def test_every_key_of_a_config_map_is_a_file(root: Path, tmp_path: Path) -> None:
    tree = resolve(root, config=ConfigMapSource(name="rules"), config_map=RULES)

    assert copied(tree, tmp_path) == {
        "manifest.json": b"{}",
        "hooks.py": "X = 'ä'\n".encode(),
        "logo": b"\x89\xff",
    }


def test_items_say_which_key_becomes_which_file(root: Path, tmp_path: Path) -> None:
    items = (
        ConfigMapItem(key="manifest.json", path="src/ade_config/manifest.json"),
        ConfigMapItem(key="logo", path="logo.png"),
        ConfigMapItem(key="logo", path="again.png"),
    )

    tree = resolve(root, config=ConfigMapSource(name="rules", items=items), config_map=RULES)

    assert copied(tree, tmp_path) == {
        "src/ade_config/manifest.json": b"{}",
        "logo.png": b"\x89\xff",
        "again.png": b"\x89\xff",
    }


def test_edit_of_a_config_map_gives_another_digest(root: Path) -> None:
    source = ConfigMapSource(name="rules")
    edited = ConfigMapContent(data={**RULES.data, "hooks.py": ""}, binary_data=RULES.binary_data)

    digests = {
        tree.digest
        for content in (RULES, edited, RULES)
        if (tree := resolve(root, config=source, config_map=content)) is not None
    }

    assert len(digests) == 2


@pytest.mark.parametrize(
    ("source", "field"),
    [
        (ConfigMapSource(name="rules", items=(ConfigMapItem(key="x", path="x"),)), "items"),
        (ConfigMapSource(name="rules", archive_key="x"), "archiveKey"),
    ],
    ids=["items", "archiveKey"],
)
@pytest.mark.parametrize(
    ("content", "there"),
    [
        (RULES, "hooks.py, logo, manifest.json"),
        (ConfigMapContent(data={}, binary_data={}), "none"),
    ],
    ids=["some keys", "no keys"],
)
def test_missing_key_is_told_with_those_that_there_are(
    root: Path, source: ConfigMapSource, field: str, content: ConfigMapContent, there: str
) -> None:
    with pytest.raises(SourceError, match=f"has no key 'x'; it has: {there}$") as caught:
        resolve(root, config=source, config_map=content)

    assert caught.value.reason == "ConfigMapKeyNotFound"
    assert caught.value.field == f"spec.config.configMap.{field}"


def test_missing_config_map_is_told_by_name_and_namespace(root: Path) -> None:
    with pytest.raises(SourceError, match="no ConfigMap 'rules' in namespace 'team-a'") as caught:
        resolve(root, config=ConfigMapSource(name="rules"))

    assert caught.value.reason == "ConfigMapNotFound"
    assert caught.value.field == "spec.config.configMap.name"


def test_empty_config_map_is_no_source(root: Path) -> None:
    empty = ConfigMapContent(data={}, binary_data={})

    with pytest.raises(SourceError, match="the ConfigMap 'rules' is empty"):
        resolve(root, config=ConfigMapSource(name="rules"), config_map=empty)


def archive(*names: str) -> ConfigMapContent:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name))
    return ConfigMapContent(data={}, binary_data={"tree.tar.gz": buffer.getvalue()})


ARCHIVE = ConfigMapSource(name="rules", archive_key="tree.tar.gz")


def test_archive_in_a_config_map_is_a_tree(root: Path) -> None:
    tree = resolve(root, config=ARCHIVE, config_map=archive("pyproject.toml", "src/a.py"))

    assert tree == MemoryTree(
        files={"pyproject.toml": TreeFile(content=b""), "src/a.py": TreeFile(content=b"")}
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(archive("../x"), "leaves the source tree", id="leaves the tree"),
        pytest.param(archive(), "holds no files", id="empty"),
        pytest.param(
            ConfigMapContent(data={"tree.tar.gz": "text"}, binary_data={}),
            "not a readable",
            id="no archive",
        ),
    ],
)
def test_archive_that_cannot_be_built_from_is_refused(
    root: Path, content: ConfigMapContent, problem: str
) -> None:
    with pytest.raises(SpecError, match=f"'tree.tar.gz' of 'rules'.*{problem}") as caught:
        resolve(root, config=ARCHIVE, config_map=content)

    assert caught.value.reason == "SourceInvalid"
    assert caught.value.field == "spec.config.configMap.archiveKey"


def test_limits_hold_for_archives_too(root: Path) -> None:
    with pytest.raises(SpecError, match="more than 1 files"):
        resolve(root, config=ARCHIVE, config_map=archive("a", "b"), limits=Limits(files=1))


def test_source_that_does_not_answer_is_given_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        async def get(self, *_: str) -> ConfigMapContent | None:
            await asyncio.Event().wait()
            return None

    monkeypatch.setattr(resolver, "RESOLVE_TIMEOUT_S", 0.01)
    silent = SourceResolver(layout=layout(root.parent.parent), config_maps=Silent())

    with pytest.raises(SourceError, match="could not be read within") as caught:
        asyncio.run(silent.resolve("team-a", spec(config=ConfigMapSource(name="rules"))))

    assert caught.value.reason == "SourceUnavailable"


def test_archive_is_read_in_a_thread_since_others_are_served_meanwhile(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def read(data: bytes, limits: Limits) -> dict[str, TreeFile]:
        threads.append(threading.current_thread())
        return read_archive(data, limits)

    monkeypatch.setattr(config_maps, "read_archive", read)
    resolve(root, config=ARCHIVE, config_map=archive("a"))

    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
