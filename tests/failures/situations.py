"""The situations that fixtures are recorded in. Each makes one command of a build fail for real.

``SITUATIONS`` names each by its file: ``<tool>/<situation>``. Some ask the installer's usual index
for a real back end, some need root or a compiler, some wait for retries: all these are left out of
``QUICK``, which a test records again.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

from configbuild.installers import Access, PlannedCommand
from configbuild.model import Step
from configbuild.receipt import installed
from configbuild.steps import VERIFY_IMPORTS
from tests.failures import guards
from tests.failures.fixture import Fixture
from tests.failures.index import File, Shelf, sdist, wheel
from tests.failures.stage import TOOLS, Situation, Stage

XYZ = wheel("xyz", "1.0")
NO_SUCH_HOST = "https://index.invalid/simple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A situation with the tools it is recorded for."""

    play: Situation
    tools: tuple[str, ...]
    quick: bool


_LISTED: dict[str, Listed] = {}


def situation(
    *, tools: tuple[str, ...] = TOOLS, quick: bool = True
) -> Callable[[Situation], Situation]:
    def take(play: Situation) -> Situation:
        name = play.__name__.replace("_", "-")
        _LISTED[name] = Listed(play=play, tools=tools, quick=quick)
        return play

    return take


# What the index has not, or not for this.


@situation()
def no_such_package(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf())


@situation()
def no_such_version(stage: Stage) -> Fixture:
    return stage.install("xyz==9.9", Shelf(files=(XYZ,)))


@situation()
def dependency_is_not_there(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(files=(wheel("xyz", "1.0", requires=("missing>=2",)),)))


@situation()
def newer_python_required(stage: Stage) -> Fixture:
    newer = wheel("xyz", "1.0", requires_python=">=3.99")
    return stage.install("xyz", Shelf(files=(newer,)))


@situation()
def dependency_requires_newer_python(stage: Stage) -> Fixture:
    newer = wheel("dep", "2.0", requires_python=">=3.99")
    top = wheel("xyz", "1.0", requires=("dep>=2",))
    return stage.install("xyz", Shelf(files=(top, newer)))


@situation(tools=("pip", "old-pip"))  # uv heeds no upper bound on Python
def older_python_required(stage: Stage) -> Fixture:
    return stage.install("xyz==1.0", Shelf(files=(wheel("xyz", "1.0", requires_python="<3.8"),)))


@situation()
def dependencies_conflict(stage: Stage) -> Fixture:
    files = (
        wheel("top", "1.0", requires=("left", "right")),
        wheel("left", "1.0", requires=("shared<2",)),
        wheel("right", "1.0", requires=("shared>=2",)),
        wheel("shared", "1.0"),
        wheel("shared", "2.0"),
    )
    return stage.install("top", Shelf(files=files))


@situation()
def constraint_excludes_all(stage: Stage) -> Fixture:
    return stage.install("xyz>=1", Shelf(files=(XYZ,)), constraints=("xyz<1",))


@situation()
def constraint_against_dependency(stage: Stage) -> Fixture:
    files = (wheel("top", "1.0", requires=("dep>=2",)), wheel("dep", "1.0"), wheel("dep", "2.0"))
    return stage.install("top", Shelf(files=files), constraints=("dep<2",))


@situation()
def config_wants_another_engine(stage: Stage) -> Fixture:
    files = (
        wheel("ade-config", "1.0", requires=("ade-engine>=2",)),
        wheel("ade-engine", "1.4.0"),
        wheel("ade-engine", "2.0"),
    )
    return stage.install("ade-config", Shelf(files=files), hold_engine="ade-engine==1.4.0")


@situation()
def dependency_wants_another_engine(stage: Stage) -> Fixture:
    files = (
        wheel("ade-config", "1.0", requires=("helper",)),
        wheel("helper", "1.0", requires=("ade-engine<1",)),
        wheel("ade-engine", "1.4.0"),
        wheel("ade-engine", "0.9"),
    )
    return stage.install("ade-config", Shelf(files=files), hold_engine="ade-engine==1.4.0")


@situation()
def only_a_source_distribution(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(files=(sdist("xyz", "1.0"),)), only_binary=True)


@situation()
def dependency_only_as_source(stage: Stage) -> Fixture:
    files = (wheel("top", "1.0", requires=("xyz",)), sdist("xyz", "1.0"))
    return stage.install("top", Shelf(files=files), only_binary=True)


@situation()
def wheel_for_another_platform(stage: Stage) -> Fixture:
    files = (wheel("xyz", "1.0", tag="cp399-cp399-win_amd64"),)
    return stage.install("xyz", Shelf(files=files))


@situation(tools=("old-pip",))  # the others take one where there is nothing else
def only_prereleases(stage: Stage) -> Fixture:
    files = (wheel("xyz", "2.0a1"), XYZ)
    return stage.install("xyz>=1.1", Shelf(files=files))


@situation()
def only_yanked(stage: Stage) -> Fixture:
    yanked = File(name=XYZ.name, content=XYZ.content, yanked=True)
    return stage.install("xyz>=1", Shelf(files=(yanked,)))


@situation()
def dependency_with_bad_requirement(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(files=(wheel("xyz", "1.0", requires=("dep >>1",)),)))


@situation()
def not_a_wheel(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(files=(File(name=XYZ.name, content=b"<html>sorry"),)))


@situation()
def hash_is_another(stage: Stage) -> Fixture:
    lying = File(name=XYZ.name, content=XYZ.content, digest="0" * 64)
    return stage.install("xyz", Shelf(files=(lying,)))


# How the index answers, or does not.


@situation(quick=False)
def connection_refused(stage: Stage) -> Fixture:
    return stage.install("xyz", f"http://127.0.0.1:{_closed_port()}/simple")


@situation(quick=False)
def host_unknown(stage: Stage) -> Fixture:
    return stage.install("xyz", NO_SUCH_HOST)


@situation(quick=False)
def index_is_silent(stage: Stage) -> Fixture:
    variables = {"UV_HTTP_TIMEOUT": "1", "UV_HTTP_RETRIES": "1"}
    if stage.tool != "uv":
        variables = {"PIP_DEFAULT_TIMEOUT": "1", "PIP_RETRIES": "1"}
    return stage.install("xyz", Shelf(silent=True), environment=variables)


@situation(quick=False)
def download_is_cut(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(files=(XYZ,), cut=True))


@situation(quick=False)
def index_has_an_error(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(status=500))


@situation(quick=False)
def index_is_unavailable(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(status=503))


@situation(quick=False)
def index_has_too_many_requests(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(status=429))


@situation()
def index_wants_credentials(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(status=401))


@situation()
def index_forbids(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(status=403))


@situation(quick=False)
def certificate_is_not_trusted(stage: Stage) -> Fixture:
    return stage.install("xyz", stage.serve_untrusted(Shelf(files=(XYZ,))))


@situation(quick=False)
def proxy_refuses(stage: Stage) -> Fixture:
    variables = {"HTTPS_PROXY": f"http://127.0.0.1:{_closed_port()}"}
    return stage.install("xyz", NO_SUCH_HOST, environment=variables)


# Source trees and their back ends.


@situation()
def backend_raises(stage: Stage) -> Fixture:
    return stage.build(while_building='raise ValueError("rule 7 has no name")')


@situation()
def backend_exits(stage: Stage) -> Fixture:
    return stage.build(while_building='raise SystemExit("a hole in rule 7")')


@situation()
def backend_says_much_after_its_error(stage: Stage) -> Fixture:
    code = """\
print("rules.c:1:10: fatal error: xyz.h: No such file or directory")
for number in range(200):
    print("compiling", number)
raise SystemExit("building failed")"""
    return stage.build(while_building=code)


@situation()
def backend_is_not_there(stage: Stage) -> Fixture:
    project = '[build-system]\nrequires = []\nbuild-backend = "nowhere.api"\n'
    return stage.build({"pyproject.toml": project})


@situation()
def backend_has_no_such_package(stage: Stage) -> Fixture:
    project = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    return stage.build({"pyproject.toml": project})


@situation(quick=False)
def backend_from_an_index_that_refuses(stage: Stage) -> Fixture:
    project = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    url = f"http://127.0.0.1:{_closed_port()}/simple"
    return stage.build({"pyproject.toml": project}, shelf=url)


@situation()
def project_file_is_no_toml(stage: Stage) -> Fixture:
    return stage.build({"pyproject.toml": "[project\nname = ade-config\n"})


@situation()
def tree_is_no_package(stage: Stage) -> Fixture:
    return stage.build({"README.md": "no package\n"})


@situation(quick=False)
def project_file_is_incomplete(stage: Stage) -> Fixture:
    return stage.build(
        {"pyproject.toml": _SETUPTOOLS + '[project]\nname = "ade-config"\n'}, shelf=""
    )


@situation(quick=False)
def project_file_has_a_bad_version(stage: Stage) -> Fixture:
    project = _SETUPTOOLS + '[project]\nname = "ade-config"\nversion = "one"\n'
    return stage.build({"pyproject.toml": project}, shelf="")


@situation(quick=False)
def hatchling_finds_no_files(stage: Stage) -> Fixture:
    project = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "ade-config"
version = "1.0"
"""
    return stage.build({"pyproject.toml": project}, shelf="")


@situation(tools=("pip", "old-pip"), quick=False)  # uv finds it when it installs the wheel
def tree_requires_newer_python(stage: Stage) -> Fixture:
    project = _SETUPTOOLS + '[project]\nname = "ade-config"\nversion = "1.0"\n'
    return stage.build({"pyproject.toml": project + 'requires-python = ">=3.99"\n'}, shelf="")


@situation()
def dependency_fails_to_build(stage: Stage) -> Fixture:
    raising = sdist("xyz", "1.0", while_building='raise RuntimeError("no luck")')
    return stage.install("xyz", Shelf(files=(raising,)))


@situation(quick=False)
def header_is_missing(stage: Stage) -> Fixture:
    return stage.build(_extension("#include <xyz/nowhere.h>\n"), shelf="")


@situation(quick=False)
def library_is_missing(stage: Stage) -> Fixture:
    return stage.build(_extension(_EMPTY_MODULE, libraries=("nowhere",)), shelf="")


@situation(quick=False)
def code_does_not_compile(stage: Stage) -> Fixture:
    return stage.build(_extension("int main( { return 0; }\n"), shelf="")


@situation(quick=False)
def compiler_is_missing(stage: Stage) -> Fixture:
    return stage.build(_extension(_EMPTY_MODULE), shelf="", environment={"PATH": "/nowhere"})


@situation()
def program_is_missing(stage: Stage) -> Fixture:
    code = 'import subprocess; subprocess.run(["nowhere-config", "--libs"], check=True)'
    return stage.build(while_building=code)


@situation()
def shell_finds_no_program(stage: Stage) -> Fixture:
    code = 'import os\nif os.system("nowhere-cc -c x.c"): raise SystemExit(1)'
    return stage.build(while_building=code)


@situation(quick=False)
def pkg_config_finds_no_library(stage: Stage) -> Fixture:
    code = 'import subprocess; subprocess.run(["pkg-config", "--libs", "nowhere"], check=True)'
    return stage.build(while_building=code)


@situation(quick=False)
def rust_is_missing(stage: Stage) -> Fixture:
    project = """\
[build-system]
requires = ["setuptools", "setuptools-rust"]
build-backend = "setuptools.build_meta"
[project]
name = "ade-config"
version = "1.0"
[[tool.setuptools-rust.ext-modules]]
target = "ade_config._rules"
"""
    files = {
        "pyproject.toml": project,
        "ade_config/__init__.py": "",
        "Cargo.toml": '[package]\nname = "rules"\nversion = "0.1.0"\n',
    }
    return stage.build(files, shelf="", environment={"PATH": "/usr/bin:/bin"})


@situation(quick=False)
def meson_finds_no_compiler(stage: Stage) -> Fixture:
    project = """\
[build-system]
requires = ["meson-python"]
build-backend = "mesonpy"
[project]
name = "ade-config"
version = "1.0"
"""
    files = {
        "pyproject.toml": project,
        "meson.build": "project('ade-config', 'c', version: '1.0')\n",
    }
    return stage.build(files, shelf="", environment={"PATH": "/nowhere"})


@situation(quick=False)
def meson_finds_no_dependency(stage: Stage) -> Fixture:
    project = """\
[build-system]
requires = ["meson-python"]
build-backend = "mesonpy"
[project]
name = "ade-config"
version = "1.0"
"""
    files = {
        "pyproject.toml": project,
        "meson.build": "project('ade-config', 'c', version: '1.0')\ndependency('nowhere')\n",
    }
    return stage.build(files, shelf="")


@situation(quick=False)
def cython_does_not_compile(stage: Stage) -> Fixture:
    files = {
        "pyproject.toml": _SETUPTOOLS.replace('"setuptools"', '"setuptools", "cython"')
        + '[project]\nname = "ade-config"\nversion = "1.0"\n',
        "setup.py": "from Cython.Build import cythonize\nfrom setuptools import setup\n"
        'setup(ext_modules=cythonize("rules.pyx"))\n',
        "rules.pyx": "def f(:\n    pass\n",
    }
    return stage.build(files, shelf="")


# Memory, disks, and what a sandbox denies.


@situation()
def backend_has_no_memory(stage: Stage) -> Fixture:
    code = """\
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
rules = bytearray(1 << 30)"""
    return stage.build(while_building=code)


@situation()
def backend_is_killed(stage: Stage) -> Fixture:
    return stage.build(while_building="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


@situation(quick=False)
def compiler_is_killed(stage: Stage) -> Fixture:
    code = """\
import subprocess, resource
bound = lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
source = "int f() { return " + "+".join(f"({n}*g({n}))" for n in range(40000)) + "; }"
subprocess.run(["gcc", "-O2", "-xc", "-", "-c", "-o", "/dev/null"], input=source.encode(),
               check=True, preexec_fn=bound)"""
    return stage.build(while_building=code)


@situation(quick=False)
def compiler_has_no_memory(stage: Stage) -> Fixture:
    code = """\
import subprocess, resource
bound = lambda: resource.setrlimit(resource.RLIMIT_AS, (100 << 20, 100 << 20))
source = "int f() { return " + "+".join(f"({n}*g({n}))" for n in range(40000)) + "; }"
subprocess.run(["gcc", "-O2", "-xc", "-", "-c", "-o", "/dev/null"], input=source.encode(),
               check=True, preexec_fn=bound)"""
    return stage.build(while_building=code)


@situation(quick=False)
def installer_has_no_memory(stage: Stage) -> Fixture:
    return stage.install("xyz", Shelf(files=(XYZ,)), before=guards.little_memory(45))


@situation(quick=False)
def venv_on_a_full_disk(stage: Stage) -> Fixture:
    files = (wheel("xyz", "1.0", module_source="#" * 200_000),)
    target = stage.paths.site_packages(stage.templates.toolchain.interpreter.minor)
    if stage.tool != "uv":
        # pip itself lies in site-packages: so the disk is that of the bytecode of the package.
        target = stage.paths.tmp
    return stage.install("xyz", Shelf(files=files), before=guards.full_disk(target))


@situation(tools=("uv",), quick=False)  # pip goes on without its cache
def cache_on_a_full_disk(stage: Stage) -> Fixture:
    files = (wheel("xyz", "1.0", module_source="#" * 200_000),)
    return stage.install("xyz", Shelf(files=files), before=guards.full_disk(stage.paths.cache))


@situation(quick=False)
def backend_fills_the_disk(stage: Stage) -> Fixture:
    code = f'open({str(stage.paths.home / "rules")!r}, "w").write("x" * 100_000)'
    return stage.build(while_building=code, before=guards.full_disk(stage.paths.home))


@situation(tools=("uv", "old-pip"), quick=False)
def venv_cannot_be_made(stage: Stage) -> Fixture:
    return stage.create_venv(before=guards.full_disk(stage.paths.venv))


@situation(quick=False)
def backend_writes_outside(stage: Stage) -> Fixture:
    code = 'open("/var/tmp/rules", "w").write("mine")'
    return stage.build(while_building=code, before=guards.cage(stage.root))


# What does not import.


@situation(tools=("uv",))
def import_raises(stage: Stage) -> Fixture:
    return _verify(stage, 'raise ValueError("rule 7")\n')


@situation(tools=("uv",))
def import_is_not_there(stage: Stage) -> Fixture:
    return _verify(stage, "import ade_config\n", "ade_config", "numpy")


@situation(tools=("uv",))
def dependency_does_not_import(stage: Stage) -> Fixture:
    return _verify(stage, "import pandas.core\n")


@situation(tools=("uv",))
def name_does_not_import(stage: Stage) -> Fixture:
    return _verify(stage, "from json import nothing\n")


@situation(tools=("uv",))
def import_is_no_python(stage: Stage) -> Fixture:
    return _verify(stage, "def rule(:\n    pass\n")


@situation(tools=("uv",))
def import_is_from_elsewhere(stage: Stage) -> Fixture:
    return _verify(stage, "", "json")


@situation(tools=("uv",))
def import_finds_no_shared_library(stage: Stage) -> Fixture:
    return _verify(stage, 'import ctypes\nctypes.CDLL("libnowhere.so.3")\n')


@situation(tools=("uv",))
def import_exits(stage: Stage) -> Fixture:
    return _verify(stage, "import sys\nsys.exit(3)\n")


@situation(tools=("uv",), quick=False)
def import_crashes(stage: Stage) -> Fixture:
    return _verify(stage, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")


@situation(tools=("uv",), quick=False)
def import_is_killed(stage: Stage) -> Fixture:
    return _verify(stage, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")


@situation(tools=("uv",))
def engine_was_changed(stage: Stage) -> Fixture:
    return _verify(stage, "", engine_version="1.5.0")


@situation()
def dependency_is_missing_at_check(stage: Stage) -> Fixture:
    files = (wheel("ade-config", "1.0", requires=("missing>=2",)),)
    stage.install_beforehand("ade-config", Shelf(files=files))
    return stage.check()


@situation()
def dependency_is_too_old_at_check(stage: Stage) -> Fixture:
    files = (wheel("ade-config", "1.0", requires=("xyz>=2",)), XYZ)
    stage.install_beforehand("ade-config", Shelf(files=files))
    stage.install_beforehand("xyz", Shelf(files=files))
    return stage.check()


def _verify(
    stage: Stage, module_source: str, *imports: str, engine_version: str = "1.4.0"
) -> Fixture:
    files = (wheel("ade-config", "1.0", module_source=module_source), wheel("ade-engine", "1.4.0"))
    stage.install_beforehand("ade-engine", Shelf(files=files))
    stage.install_beforehand("ade-config", Shelf(files=files))
    site_packages = stage.paths.site_packages(stage.templates.toolchain.interpreter.minor)
    engine = installed(site_packages, "ade-engine")
    facts = {**asdict(engine), "version": engine_version}
    stage.paths.engine_facts.write_text(json.dumps(facts))
    python = (str(stage.paths.python), "-I", "-B", str(VERIFY_IMPORTS))
    argv = (*python, str(stage.paths.engine_facts), *(imports or ("ade_config",)))
    return stage.run(
        PlannedCommand(argv=argv, access=Access.INSPECT), Step.VERIFY_IMPORTS, engine="ade-engine"
    )


_SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'

_EMPTY_MODULE = """\
#include <Python.h>
static struct PyModuleDef rules = {PyModuleDef_HEAD_INIT, "rules", 0, -1, 0};
PyMODINIT_FUNC PyInit_rules(void) { return PyModule_Create(&rules); }
"""


def _extension(source: str, *, libraries: tuple[str, ...] = ()) -> dict[str, str]:
    setup = f"""\
from setuptools import Extension, setup
setup(ext_modules=[Extension("rules", ["rules.c"], libraries={list(libraries)!r})])
"""
    return {
        "pyproject.toml": _SETUPTOOLS + '[project]\nname = "ade-config"\nversion = "1.0"\n',
        "setup.py": setup,
        "rules.c": source,
    }


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


SITUATIONS: dict[str, Situation] = {
    f"{tool}/{name}": listed.play for name, listed in _LISTED.items() for tool in listed.tools
}
QUICK: tuple[str, ...] = tuple(
    f"{tool}/{name}"
    for name, listed in _LISTED.items()
    for tool in listed.tools
    if listed.quick and tool != "pip"
)
