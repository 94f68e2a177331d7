"""The documentation says what is so: settings, reasons, links and names are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from configbuild.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "configbuild"
SPEC = ROOT / "docs" / "spec" / "configbuild.md"
SETTINGS = ROOT / "docs" / "settings.md"
README = ROOT / "README.md"

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            page
            for folder in ("docs", "gitops", "manifests")
            for page in (ROOT / folder).rglob("*.md")
        ),
    ]
)
PAGE_IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]

# Words of two humps in the code that are no reasons: kinds of objects and names of Python.
NO_REASONS = {
    "InvalidAnnotation",  # the type of a condition
    # Words of pods, which `kubectl configbuild run` makes and watches.
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "IfNotPresent",
    "ImagePullBackOff",
    "InvalidImageName",
    "OnRootMismatch",
    "RuntimeDefault",
    "BuildStatus",
    "ClusterRole",
    "ConfigBuild",
    "ConfigMap",
    "CustomResourceDefinition",
    "ExecCredential",
    "JournalSummary",
    "JournalWriter",
    "LogCopy",
    "LogOwner",
    "LogStore",
    "LogStoreError",
    "StoredLog",
    "StepStatus",
    "SubjectAccessReview",
    "TokenReview",
}

# Made from the words of HTTP (RFC 9110) where they are needed, so they stand nowhere in the code.
REASONS_OF_HTTP = {"ContentTooLarge", "MethodNotAllowed", "UnsupportedMediaType"}

ONE_WORD = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")
TWO_HUMPS = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+")
FIRST_CELL = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
NAME_IN_CODE = re.compile(r"`((?:[a-z_]+/)*[a-z_]+\.py):([A-Za-z_.]+)`")


def test_every_setting_is_documented_with_its_default() -> None:
    documented = _rows(SETTINGS.read_text())
    names = {f"ADE_{name.upper()}" for name in Settings.model_fields}
    assert {row for row in documented if row.startswith("ADE_")} == names
    for name, field in Settings.model_fields.items():
        if (default := _default(field)) is not None:
            assert documented[f"ADE_{name.upper()}"][0] == default, name


def test_every_reason_in_the_code_is_explained_and_no_other() -> None:
    in_code = _reasons_in_code()
    assert {"ConfigMapNotFound", "Timeout", "Superseded", "InstallEngineFailed"} <= in_code
    explained = set(_rows(_section(SPEC.read_text(), "### Reasons")))
    triggers = set(_rows(_section(SPEC.read_text(), "### Triggers")))
    assert in_code - explained - triggers == set()
    assert explained - in_code == REASONS_OF_HTTP


def test_words_that_are_no_reasons_are_still_in_the_code() -> None:
    assert NO_REASONS - _strings() == set()


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = _without_code(page.read_text())
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file.read_text()), target


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_names_in_code_are_those_of_the_code(page: Path) -> None:
    for file, name in NAME_IN_CODE.findall(page.read_text()):
        assert (PACKAGE / file).exists(), file
        assert name in _definitions(PACKAGE / file), f"{file}:{name}"


def test_walkthrough_goes_from_watch_to_stream() -> None:
    named = NAME_IN_CODE.findall((ROOT / "docs" / "walkthrough.md").read_text())
    assert {
        ("kube/watch.py", "Watcher._registry"),
        ("builds/service.py", "Builds.ensure"),
        ("engine.py", "run_build"),
        ("steplog.py", "StepLog.feed"),
        ("web/stream.py", "stream_events"),
        ("kube/status.py", "render_status"),
    } <= set(named)


def test_reading_order_is_at_most_seven_files_that_exist() -> None:
    section = _section(README.read_text(), "## Reading the code")
    order = re.findall(r"^[0-9]+\. \[[^\]]+\]\(([^)]+)\)", section, re.MULTILINE)
    assert order[0].endswith("/watch.py")
    assert len(order) <= 7
    assert [file for file in order if not (ROOT / file).is_file()] == []


def _default(field: FieldInfo) -> str | None:
    """Write a default as the page does; ``None`` if it depends on the machine."""
    if field.default_factory is not None:
        return None
    if field.default is None or field.default == ():
        return "none"
    return f"`{field.default}`"


def _reasons_in_code() -> set[str]:
    """Find every word that can be a reason.

    What stands as ``reason=…`` in a call or as ``reason = …`` in a class, directly or by the name
    of a constant; and every string that is one CamelCase word of two humps or more, since most
    reasons are such words, save for :data:`NO_REASONS`.
    """
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    constants = {
        node.targets[0].id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    named = {
        word
        for node in nodes
        for value in _reason_of(node)
        for word in _words_in(value, constants)
        if ONE_WORD.fullmatch(word)
    }
    return named | {word for word in _strings() if TWO_HUMPS.fullmatch(word)} - NO_REASONS


def _reason_of(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.keyword(arg="reason", value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id="reason")], value=value):
            yield value


def _words_in(value: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(word)):
            yield word
        case ast.Name(id=name) if name in constants:
            yield constants[name]


@cache
def _strings() -> frozenset[str]:
    return frozenset(
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def _definitions(path: Path) -> frozenset[str]:
    """Name everything that a file defines at its top, and what its classes do."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        found |= set(_names(node))
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return frozenset(found)


def _names(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _rows(text: str) -> dict[str, list[str]]:
    """Read tables whose rows begin with a word in backticks: the word, and the other cells."""
    return {
        cells[0].strip("`"): cells[1:]
        for line in text.splitlines()
        if FIRST_CELL.match(line)
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }


def _section(text: str, heading: str) -> str:
    """Cut out what stands below a heading, up to the next of its rank or above."""
    rank = heading.index(" ")
    _, _, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert rest, heading
    return re.split(rf"^#{{1,{rank}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def _anchors(text: str) -> set[str]:
    """Make the anchors of all headings, as GitHub does."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
