"""What stands in a file is judged as the API server would, and errors say where to look."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from configbuild.cli.documents import InputError
from configbuild.cli.manifests import read_manifests
from configbuild.errors import SourceError
from configbuild.model import ConfigKey
from tests.cli.support import MANIFEST, SAMPLE, quick_bench

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: rules
data:
  a.txt: text
  day: 2026-11-24
binaryData:
  b.bin: AP8=
"""

IN_FIRST = "f.yaml:1: document 1 (ConfigBuild invoices): "
IN_SECOND = "f.yaml:9: document 2 (ConfigMap rules): "


def with_map(old: str = "", new: str = "") -> str:
    assert old in CONFIG_MAP
    return MANIFEST + "---\n" + CONFIG_MAP.replace(old, new)


def changed(old: str, new: str) -> str:
    assert old in MANIFEST
    return MANIFEST.replace(old, new)


WRONG = {
    "empty": ("", "f.yaml: has no ConfigBuild (ade.dev/v1alpha1); it has: nothing"),
    "no_build": (CONFIG_MAP, "f.yaml: has no ConfigBuild (ade.dev/v1alpha1); it has: ConfigMap"),
    "no_yaml": ("a: [", "f.yaml:1:5: this is not YAML: "),
    "nul": ("\0", "f.yaml: this is not YAML: unacceptable character"),
    "too_deep": ("[" * 3000, "f.yaml: is nested too deeply"),
    "no_object": ("- a", "f.yaml:1: document 1: must be an object with apiVersion, kind"),
    "no_kind": ("apiVersion: v1", "f.yaml:1: document 1: kind: is missing"),
    "twice": (MANIFEST + "---\n" + MANIFEST, "f.yaml: has ConfigBuild default/invoices twice"),
    "key_twice": (
        MANIFEST + "spec: {}\n",
        "f.yaml:8:1: this is not YAML: 'spec' stands here twice",
    ),
    "version": (changed("v1alpha1", "v1"), IN_FIRST + "apiVersion: must be 'ade.dev/v1alpha1'"),
    "kind": (
        changed("kind: ConfigBuild", "kind: Configbuild"),
        "f.yaml:1: document 1 (Configbuild invoices): kind: must be 'ConfigBuild'",
    ),
    "no_spec": (MANIFEST.split("spec:", maxsplit=1)[0], IN_FIRST + "spec: is missing"),
    "name": (
        changed("name: invoices", "name: In_voices"),
        "f.yaml:1: document 1 (ConfigBuild In_voices): metadata.name: must consist of lower-case",
    ),
    "long_name": (
        changed("name: invoices", f"name: {64 * 'x'}"),
        "metadata.name: must have at most 63",
    ),
    "namespace": (
        changed("name: invoices", "name: invoices\n  namespace: a.b"),
        IN_FIRST + "metadata.namespace: must consist of",
    ),
    "metadata": (
        changed("name: invoices", "name: invoices\n  namspace: a"),
        IN_FIRST + "metadata.namspace: there is no such field",
    ),
    "field": (MANIFEST + "  instal: {}\n", IN_FIRST + "spec.instal: there is no such field"),
    "number": (
        MANIFEST + "  python: 3.12\n",
        IN_FIRST + 'spec.python: must be a string: write it in quotes, as in "3.12"',
    ),
    "two_sources": (
        changed("{requirement: ade-config==2.1}", "{requirement: ade-config, path: x}"),
        IN_FIRST + "spec.config: set exactly one of configMap, git, archive, requirement or path",
    ),
    "two_problems": (
        changed("{requirement: ade-engine==1.4.0}", "{pth: engine}") + "  python: 3\n",
        IN_FIRST.strip() + "\n  spec.engine.pth: there is no such field; check its spelling and its"
        ' place\n  spec.python: must be a string: write it in quotes, as in "3"',
    ),
    "map_value": (with_map("text", "1"), IN_SECOND + "data['a.txt']: must be a string"),
    "map_base64": (with_map("AP8=", "a b!"), IN_SECOND + "binaryData['b.bin']: must be base64"),
    "map_key": (with_map("a.txt", "../a"), IN_SECOND + "data['../a']: must consist of letters"),
    "map_dots": (with_map("a.txt", ".."), IN_SECOND + "data['..']: must not begin with '..'"),
    "map_both": (with_map("b.bin", "a.txt"), IN_SECOND + "data and binaryData both have the key"),
    "map_field": (with_map("\ndata:", "\ndta:"), IN_SECOND + "dta: there is no such field"),
    "map_twice": (with_map() + "---\n" + CONFIG_MAP, "f.yaml: has ConfigMap rules twice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_file_is_refused_with_file_document_and_field(case: str) -> None:
    content, message = WRONG[case]
    with pytest.raises(InputError) as raised:
        read_manifests(content.encode(), "f.yaml")
    assert message in raised.value.message


def test_sample_is_read_whole() -> None:
    found = read_manifests(SAMPLE.read_bytes(), "local.yaml")
    build = found.choose(None)
    assert build.key == ConfigKey("default", "invoices")
    content = asyncio.run(found.get("default", "invoices-config"))
    items = build.spec["config"]["configMap"]["items"]
    assert {item["key"] for item in items} == set(content.data)


def test_config_maps_give_texts_and_bytes() -> None:
    found = read_manifests(with_map().encode(), "f.yaml")
    content = asyncio.run(found.get("any", "rules"))
    # What looks like a date is a string to Kubernetes.
    assert content.data == {"a.txt": "text", "day": "2026-11-24"}
    assert content.binary_data == {"b.bin": b"\0\xff"}


def test_config_map_of_another_namespace_is_not_taken() -> None:
    content = with_map("name: rules", "name: rules\n  namespace: team-a")
    found = read_manifests(content.encode(), "f.yaml")
    assert asyncio.run(found.get("team-a", "rules")).data
    with pytest.raises(SourceError, match=r"no ConfigMap .rules. of namespace .team-b. in f\.yaml"):
        asyncio.run(found.get("team-b", "rules"))


def test_other_objects_and_what_a_server_wrote_are_passed_over() -> None:
    server_wrote = "name: invoices\n  uid: 1-2\n  generation: 3\n  resourceVersion: '7'"
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {}\n"
    content = f"---\n---\n{pod}---\n{changed('name: invoices', server_wrote)}status: {{phase: X}}\n"
    found = read_manifests(content.encode(), "f.yaml")
    assert [str(build.key) for build in found.builds] == ["default/invoices"]


def test_one_of_several_is_chosen_by_name() -> None:
    other = changed("name: invoices", "name: invoices\n  namespace: team-a")
    third = changed("name: invoices", "name: timesheets")
    found = read_manifests("---\n".join([MANIFEST, other, third]).encode(), "f.yaml")
    assert found.choose("timesheets").key == ConfigKey("default", "timesheets")
    assert found.choose("team-a/invoices").key == ConfigKey("team-a", "invoices")
    listed = "default/invoices, team-a/invoices, default/timesheets"
    for name in (None, "invoices"):
        with pytest.raises(InputError, match=f"several ConfigBuilds.* --name: {listed}"):
            found.choose(name)
    with pytest.raises(InputError, match=f"no ConfigBuild 'receipts'; it has: {listed}"):
        found.choose("receipts")


# What only shows when it is to be built: the words, and that nothing was begun.
REFUSED = {
    "python": (MANIFEST + '  python: "3.3"\n', "spec.python: 3.3 is not among"),
    "requirement": (changed("ade-config==2.1", "ade-config=2"), "spec.config.requirement: "),
    "folder": (
        changed("{requirement: ade-config==2.1}", "{path: no/where}"),
        "spec.config.path: there is no folder 'no/where' below",
    ),
    "map": (
        changed("{requirement: ade-config==2.1}", "{configMap: {name: rules}}"),
        "spec.config.configMap.name: there is no ConfigMap 'rules'",
    ),
    "suspended": (MANIFEST + "  suspend: true\n", "spec.suspend: is true"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_built_ends_with_2_and_names_the_field(case: str, tmp_path: Path) -> None:
    manifest, message = REFUSED[case]
    bench = quick_bench(tmp_path, manifest)
    done = bench.run()
    assert done.code == 2
    assert done.stdout == b""
    where = f"error: {bench.file}:1: document 1 (ConfigBuild invoices): "
    assert done.errors.startswith(where + message), done.errors
    assert not bench.journals


def test_arguments_that_name_nothing_end_with_2(tmp_path: Path) -> None:
    bench = quick_bench(tmp_path)
    blocked = tmp_path / "file"
    blocked.touch()
    for arguments, message in (
        (("-f", tmp_path / "no.yaml"), f"--file: {tmp_path / 'no.yaml'}: No such file"),
        (("-f", tmp_path), f"--file: {tmp_path}: Is a directory"),
        (("--sources", tmp_path / "no"), f"--sources: {tmp_path / 'no'}: there is no such folder"),
        (("--workdir", blocked), f"--workdir: {blocked}"),
        (("--name", "x"), f"{bench.file}: there is no ConfigBuild 'x'"),
    ):
        done = bench.run(*arguments)
        assert (done.code, done.stdout) == (2, b""), done.errors
        assert done.errors.startswith(f"error: {message}"), done.errors
    wrong = bench.run(env={"ADE_BUILD_TIMEOUT_SECONDS": "soon", "ADE_INSTALLER": "conda"})
    assert wrong.code == 2
    assert "ADE_BUILD_TIMEOUT_SECONDS: " in wrong.errors
    assert "ADE_INSTALLER: " in wrong.errors
