"""What authors are told of failures that real tools had; see ``record`` for where they are from."""

from __future__ import annotations

from pathlib import Path

import pytest

from configbuild.failures import TRANSIENT, Ending, Failure, Sample, classify
from tests.failures.fixture import FIXTURES, Fixture, read_fixture
from tests.failures.situations import SITUATIONS

# Of a situation: the reason, what the first line quotes, what the hint names; then the tools whose
# own words lead elsewhere.
TOLD: dict[str, tuple[str, str, str]] = {
    "no-such-package": ("NoMatchingDistribution", "xyz", "spec.install.index.url"),
    "no-such-version": ("NoMatchingDistribution", "xyz==9.9", "spec.config"),
    "dependency-is-not-there": ("NoMatchingDistribution", "missing", "spec.install.index.url"),
    "newer-python-required": ("RequiresPython", ">=3.99", "set spec.python to a version that fits"),
    "dependency-requires-newer-python": ("RequiresPython", ">=3.99", "spec.python"),
    "older-python-required": ("RequiresPython", "<3.8", "spec.python"),
    "dependencies-conflict": ("ResolutionImpossible", "shared>=2", "spec.install.constraints"),
    "constraint-excludes-all": ("ResolutionImpossible", "xyz<1", "spec.install.constraints"),
    "constraint-against-dependency": ("ResolutionImpossible", "dep<2", "spec.install.constraints"),
    "config-wants-another-engine": ("EngineConflict", "ade-engine>=2", "spec.engine"),
    "dependency-wants-another-engine": ("EngineConflict", "ade-engine<1", "spec.engine"),
    "only-a-source-distribution": ("NoWheel", "xyz==1.0", "spec.install.onlyBinary"),
    "dependency-only-as-source": ("NoWheel", "xyz==1.0", "spec.install.onlyBinary"),
    "wheel-for-another-platform": ("NoWheel", "xyz==1.0", "spec.python"),
    "only-prereleases": ("NoMatchingDistribution", "xyz>=1.1", "spec.config"),
    "only-yanked": ("NoMatchingDistribution", "xyz", "spec.config"),
    "dependency-with-bad-requirement": ("InvalidDistribution", "xyz", "spec.install.constraints"),
    "not-a-wheel": ("InvalidDistribution", "xyz", "spec.install.constraints"),
    "hash-is-another": ("HashMismatch", "xyz", "spec.install.index.url"),
    "connection-refused": ("IndexUnreachable", "Connection refused", "tried again"),
    "host-unknown": ("IndexUnreachable", "Name or service not known", "tried again"),
    "index-is-silent": ("IndexUnreachable", "timed out", "tried again"),
    "download-is-cut": ("IndexUnreachable", "", "tried again"),
    "index-has-an-error": ("IndexUnreachable", "500 Internal Server Error", "tried again"),
    "index-is-unavailable": ("IndexUnreachable", "503 Service Unavailable", "tried again"),
    "index-has-too-many-requests": ("IndexUnreachable", "429 Too Many Requests", "tried again"),
    "index-wants-credentials": ("IndexUnauthorized", "401", "spec.install.index.url"),
    "index-forbids": ("IndexUnauthorized", "403 Forbidden", "spec.install.index.url"),
    "certificate-is-not-trusted": ("IndexUntrusted", "certificate", "SSL_CERT_FILE"),
    "proxy-refuses": ("IndexUnreachable", "Connection refused", "tried again"),
    "backend-raises": ("BuildBackendFailed", "ValueError: rule 7 has no name", "spec.config"),
    "backend-exits": ("BuildBackendFailed", "a hole in rule 7", "spec.config"),
    "backend-says-much-after-its-error": ("MissingSystemLibrary", "xyz.h", "header xyz.h"),
    "backend-is-not-there": ("BuildBackendFailed", "'nowhere'", "build-system.requires"),
    "backend-has-no-such-package": ("NoMatchingDistribution", "setuptools", "spec.config"),
    "backend-from-an-index-that-refuses": ("IndexUnreachable", "Connection refused", "tried again"),
    "project-file-is-no-toml": ("InvalidProject", "line 1", "pyproject.toml"),
    "tree-is-no-package": ("InvalidProject", "/build/scratch/config", "spec.config"),
    "project-file-is-incomplete": ("InvalidProject", "['version']", "pyproject.toml"),
    "project-file-has-a-bad-version": ("InvalidProject", "", "pyproject.toml"),
    "hatchling-finds-no-files": ("BuildBackendFailed", "which files to ship", "spec.config"),
    "tree-requires-newer-python": ("RequiresPython", ">=3.99", "spec.python"),
    "dependency-fails-to-build": ("BuildBackendFailed", "no luck", "another version of xyz"),
    "header-is-missing": ("MissingSystemLibrary", "xyz/nowhere.h", "header xyz/nowhere.h"),
    "library-is-missing": ("MissingSystemLibrary", "-lnowhere", "library nowhere"),
    "code-does-not-compile": ("BuildBackendFailed", "rules.c:1:11: error:", "spec.config"),
    "compiler-is-missing": ("MissingBuildTool", "'gcc'", "program gcc"),
    "program-is-missing": ("MissingBuildTool", "nowhere-config", "program nowhere-config"),
    "shell-finds-no-program": ("MissingBuildTool", "nowhere-cc", "program nowhere-cc"),
    "pkg-config-finds-no-library": ("MissingSystemLibrary", "nowhere", "library nowhere"),
    "rust-is-missing": ("MissingBuildTool", "Rust compiler", "program Rust compiler"),
    "meson-finds-no-compiler": ("MissingBuildTool", "'gcc'", "program cc"),
    "meson-finds-no-dependency": ("MissingSystemLibrary", '"nowhere"', "library nowhere"),
    "cython-does-not-compile": ("BuildBackendFailed", "rules.pyx", "spec.config"),
    "backend-has-no-memory": ("OutOfMemory", "MemoryError", "limit"),
    "backend-is-killed": ("OutOfMemory", "", "limit"),
    "compiler-is-killed": ("OutOfMemory", "Killed signal", "limit"),
    "compiler-has-no-memory": ("OutOfMemory", "Cannot allocate memory", "limit"),
    "installer-has-no-memory": ("OutOfMemory", "", "limit"),
    "venv-on-a-full-disk": ("DiskFull", "No space left on device", "tried again"),
    "cache-on-a-full-disk": ("DiskFull", "No space left on device", "tried again"),
    "backend-fills-the-disk": ("DiskFull", "No space left on device", "tried again"),
    "venv-cannot-be-made": ("DiskFull", "No space left on device", "tried again"),
    "backend-writes-outside": ("SandboxDenied", "'/var/tmp/rules'", "TMPDIR"),
    "import-raises": ("ImportFailed", "ValueError: rule 7 (ade_config.py, line 1)", "ade_config"),
    "import-is-not-there": ("ImportFailed", "'numpy'", "spec.verify.imports"),
    "dependency-does-not-import": ("ImportFailed", "(ade_config.py, line 1)", "holds pandas"),
    "name-does-not-import": ("ImportFailed", "cannot import name 'nothing'", "ade_config"),
    "import-is-no-python": ("ImportFailed", "SyntaxError", "spec.python"),
    "import-is-from-elsewhere": ("ImportFailed", "not inside", "spec.verify.imports"),
    "import-finds-no-shared-library": ("MissingSystemLibrary", "libnowhere.so.3", "image"),
    "import-exits": ("ImportFailed", "SystemExit: 3", "ade_config"),
    "import-crashes": ("ImportFailed", "was ended by signal 11", "crashed"),
    "import-is-killed": ("OutOfMemory", "was ended by signal 9", "limit"),
    "engine-was-changed": ("EngineConflict", "1.5.0", "spec.engine"),
    "dependency-is-missing-at-check": ("DependencyConflict", "missing", "ade-config needs"),
    "dependency-is-too-old-at-check": ("DependencyConflict", "xyz>=2", "spec.install.constraints"),
}

_PIP_FINDS_NONE = ("NoMatchingDistribution", "xyz", "pip says the same where")

# What pip keeps to itself: why an index page could not be had, and why no file was right.
TOLD_BY_PIP = {
    **TOLD,
    "index-has-an-error": _PIP_FINDS_NONE,
    "index-is-unavailable": _PIP_FINDS_NONE,
    "index-has-too-many-requests": _PIP_FINDS_NONE,
    "index-wants-credentials": _PIP_FINDS_NONE,
    "index-forbids": _PIP_FINDS_NONE,
    "only-a-source-distribution": _PIP_FINDS_NONE,
    "dependency-only-as-source": _PIP_FINDS_NONE,
    "wheel-for-another-platform": _PIP_FINDS_NONE,
}

TOLD_BY = {
    "uv": TOLD
    # uv itself crashes where memory is short, and says nothing.
    | {"installer-has-no-memory": ("InstallConfigFailed", "signal 11", "")},
    "pip": TOLD_BY_PIP,
    "old-pip": TOLD_BY_PIP
    | {
        # It looks at neither the length of what it gets nor at metadata that is no metadata, and
        # does not name what it could not build. Nor does venv say what kept it from its work.
        "dependency-fails-to-build": ("BuildBackendFailed", "no luck", "of the package"),
        "venv-cannot-be-made": ("InstallConfigFailed", "venv exited with 1: ", ""),
        "download-is-cut": ("HashMismatch", "xyz", "spec.install.index.url"),
        "dependency-with-bad-requirement": ("NoMatchingDistribution", "dep>>1", "spec.config"),
    },
}


def told_of(fixture: Fixture) -> Failure:
    """What the engine makes of a command that wrote this."""
    sample = Sample()
    sample.add(fixture.lines)
    return classify(
        Ending(
            argv=fixture.argv,
            step=fixture.step,
            exit_code=fixture.exit_code,
            signal=fixture.signal,
            lines=sample.lines(),
            otherwise="InstallConfigFailed",
            engine=fixture.engine,
        )
    )


def test_every_situation_was_recorded_and_nothing_else() -> None:
    recorded = {path.relative_to(FIXTURES).with_suffix("").as_posix() for path in _files()}
    assert recorded == set(SITUATIONS)


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_failure_is_told_by_reason_quote_and_hint(name: str) -> None:
    tool, _, situation = name.partition("/")
    reason, quote, hint = TOLD_BY[tool][situation]
    told = told_of(read_fixture(FIXTURES / f"{name}.txt"))
    assert told.reason == reason, told
    assert quote in told.headline, told
    assert hint in (told.hint or ""), told
    assert len(told.headline.splitlines()) == 1


def test_only_networks_and_disks_may_pass_by_themselves() -> None:
    assert frozenset({"IndexUnreachable", "DiskFull"}) == TRANSIENT
    assert {told_of(read_fixture(path)).reason for path in _files()} >= TRANSIENT


def test_fixtures_name_no_place_of_the_machine_that_recorded_them() -> None:
    for path in _files():
        text = path.read_text()
        for word in ("/tmp/tmp", "/root/", "/usr/lib/python", "pypi", "pythonhosted"):
            assert word not in text, (path, word)


def _files() -> list[Path]:
    return sorted(FIXTURES.rglob("*.txt"))
