"""What uv and pip are asked to do, word for word."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configbuild.installers import (
    Access,
    Argument,
    InstallerCommands,
    Pip,
    PlannedCommand,
    Uv,
    WheelIn,
    commands_of,
    lacks_wheels,
    uv_index_config,
)
from configbuild.interpreters import Interpreter
from configbuild.model import IndexOptions, Installer, InstallOptions
from configbuild.steps import COMPILE_TOOLS, UNSHARE_FILES
from tests.unit.examples import paths, tools

PATHS = paths()
VENV = str(PATHS.venv)
ONE = ("https://a/simple",)
THREE = ("https://a/simple", "https://b/simple", "https://c/simple")


def uv(*, wheelhouse: Path | None = None, **options: Any) -> Uv:
    return Uv(options=InstallOptions(**options), paths=PATHS, tools=tools(wheelhouse=wheelhouse))


def pip(*, wheelhouse: Path | None = None, **options: Any) -> Pip:
    return Pip(options=InstallOptions(**options), paths=PATHS, tools=tools(wheelhouse=wheelhouse))


def argv(text: str) -> tuple[str, ...]:
    return tuple(word.replace("VENV", VENV) for word in text.split())


def index(*urls: str) -> IndexOptions:
    return IndexOptions(urls=urls)


@pytest.mark.parametrize(
    ("installer", "expected"),
    [(Installer.UV, Uv), (Installer.PIP, Pip)],
)
def test_installer_is_the_one_that_the_spec_names(
    installer: Installer, expected: type[InstallerCommands]
) -> None:
    found = commands_of(InstallOptions(installer=installer), paths=PATHS, tools=tools())

    assert isinstance(found, expected)


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (uv(), "/bin/uv venv --no-project --python /opt/python3.12 VENV"),
        (pip(), "/opt/python3.12 -I -m venv VENV"),
    ],
    ids=["uv", "pip"],
)
def test_venv_is_made_at_its_final_path_by_the_chosen_interpreter(
    commands: InstallerCommands, expected: str
) -> None:
    assert commands.create_venv() == PlannedCommand(argv=argv(expected), access=Access.CREATE)


def test_uv_has_nothing_to_upgrade_and_says_why() -> None:
    assert uv().upgrade_itself() == "uv installs without pip in the environment"


@pytest.mark.parametrize(
    ("commands", "options"),
    [
        pytest.param(pip(), "", id="index of its own"),
        pytest.param(pip(index=index(*ONE)), "--index-url https://a/simple", id="index"),
        pytest.param(
            pip(index=index(*ONE), wheelhouse=Path("/wheels")),
            "--no-index --find-links /wheels",
            id="wheelhouse",
        ),
    ],
)
def test_pip_upgrades_itself_in_the_venv(commands: Pip, options: str) -> None:
    expected = f"{PIP_HEAD} --upgrade {options} {REPORT} pip setuptools wheel"

    planned = PlannedCommand(
        argv=argv(expected), access=Access.INSTALL_OWN, writes=(PATHS.pip_report,)
    )

    assert commands.upgrade_itself() == (planned,)


def test_pip_of_an_old_python_is_asked_for_no_report_which_it_may_not_know() -> None:
    old = Interpreter(path=Path("/opt/python3.10"), version="3.10.1", platform="linux-x86_64")
    commands = Pip(options=InstallOptions(), paths=PATHS, tools=tools(interpreter=old))

    for command in (*commands.upgrade_itself(), *commands.install("a", ())):
        assert "--report" not in command.argv
        assert command.writes == ()


@pytest.mark.parametrize(
    ("commands", "index_options", "access"),
    [
        (uv(), "", Access.LOOK_UP),
        (uv(index=index(*ONE)), " --default-index https://a/simple", Access.LOOK_UP),
        (
            uv(index=IndexOptions(urls=ONE, secret="login")),
            " --default-index https://a/simple",
            Access.LOOK_UP_FETCHED,
        ),
        (
            uv(index=IndexOptions(urls=ONE, secret="login"), wheelhouse=Path("/wheels")),
            " --no-index --find-links /wheels",
            Access.LOOK_UP,
        ),
    ],
)
def test_uv_looks_up_what_the_index_said_where_it_installed_from(
    commands: Uv, index_options: str, access: Access
) -> None:
    (planned,) = commands.look_up()

    assert planned == PlannedCommand(
        argv=argv(
            "/bin/uv pip compile -qq --offline --no-deps --no-build --no-sources --python"
            f" /opt/python3.12{index_options} --no-header --output-file {PATHS.looked_up}"
            f" {PATHS.pins}"
        ),
        access=access,
        writes=(PATHS.lookup,),
        tolerated=True,
    )


def test_pip_has_told_and_looks_nothing_up() -> None:
    assert pip().look_up() == ()


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        pytest.param(
            uv(),
            "/bin/uv build --wheel --no-sources --python /opt/python3.12 --out-dir /out /tree",
            id="uv",
        ),
        pytest.param(
            uv(index=index(*THREE)),
            "/bin/uv build --wheel --no-sources --python /opt/python3.12 --index https://a/simple"
            " --index https://b/simple --default-index https://c/simple --out-dir /out /tree",
            id="uv with indexes",
        ),
        pytest.param(
            pip(),
            "VENV/bin/python -I -m pip wheel --no-deps --wheel-dir /out /tree",
            id="pip",
        ),
        pytest.param(
            pip(index=index(*ONE)),
            "VENV/bin/python -I -m pip wheel --no-deps --index-url https://a/simple"
            " --wheel-dir /out /tree",
            id="pip with an index",
        ),
    ],
)
def test_source_tree_is_built_to_a_wheel(commands: InstallerCommands, expected: str) -> None:
    tree, out = Path("/tree"), Path("/out")

    assert replace(commands.build_wheel(tree, out), compiles_tools=None) == PlannedCommand(
        argv=argv(expected), access=Access.BUILD, writes=(tree, out), makes=out
    )


def test_tools_of_uv_are_compiled_apart_and_may_stay_as_they_are() -> None:
    tools_of_uv = uv().build_wheel(Path("/tree"), Path("/out")).compiles_tools

    assert tools_of_uv == PlannedCommand(
        argv=argv(f"/opt/python3.12 -I -S -B {COMPILE_TOOLS} {PATHS.own_caches.uv}/archive-v0"),
        access=Access.REWORK_OWN,
        tolerated=True,
    )


def test_pip_compiles_its_tools_itself() -> None:
    assert pip().build_wheel(Path("/tree"), Path("/out")).compiles_tools is None


UV_HEAD = "/bin/uv pip install --no-sources --python VENV/bin/python"
PIP_HEAD = "VENV/bin/python -I -m pip install"
REPORT = f"--report {PATHS.pip_report}"


@pytest.mark.parametrize(
    ("commands", "constraints", "expected"),
    [
        pytest.param(uv(), (), f"{UV_HEAD} --no-build", id="uv"),
        pytest.param(uv(compile_bytecode=False), (), f"{UV_HEAD} --no-build", id="uv, no bytecode"),
        pytest.param(
            uv(dependencies=False), (), f"{UV_HEAD} --no-deps --no-build", id="uv, no deps"
        ),
        pytest.param(
            uv(only_binary=True),
            (),
            f"{UV_HEAD} --no-build",
            id="uv, wheels only",
        ),
        pytest.param(
            uv(),
            (Path("/c1"), Path("/c2")),
            f"{UV_HEAD} --constraints /c1 --constraints /c2 --no-build",
            id="uv, constraints",
        ),
        pytest.param(
            uv(index=index(*ONE)),
            (),
            f"{UV_HEAD} --default-index https://a/simple --no-build",
            id="uv, index",
        ),
        pytest.param(
            uv(index=index(*THREE)),
            (),
            f"{UV_HEAD} --index https://a/simple --index https://b/simple"
            " --default-index https://c/simple --no-build",
            id="uv, indexes in their order",
        ),
        pytest.param(
            uv(index=index(*THREE), wheelhouse=Path("/wheels")),
            (),
            f"{UV_HEAD} --no-index --find-links /wheels --no-build",
            id="uv, wheelhouse in the place of indexes",
        ),
        pytest.param(
            uv(
                index=index(*ONE),
                compile_bytecode=False,
                dependencies=False,
                only_binary=True,
            ),
            (Path("/c1"),),
            f"{UV_HEAD} --default-index https://a/simple --constraints /c1 --no-deps --no-build",
            id="uv, everything",
        ),
        pytest.param(pip(), (), f"{PIP_HEAD} {REPORT} --only-binary :all:", id="pip"),
        pytest.param(
            pip(compile_bytecode=False),
            (),
            f"{PIP_HEAD} {REPORT} --only-binary :all: --no-compile",
            id="pip, no .pyc",
        ),
        pytest.param(
            pip(dependencies=False),
            (),
            f"{PIP_HEAD} --no-deps {REPORT} --only-binary :all:",
            id="pip, no deps",
        ),
        pytest.param(
            pip(only_binary=True),
            (),
            f"{PIP_HEAD} {REPORT} --only-binary :all:",
            id="pip, wheels only",
        ),
        pytest.param(
            pip(),
            (Path("/c1"), Path("/c2")),
            f"{PIP_HEAD} --constraint /c1 --constraint /c2 {REPORT} --only-binary :all:",
            id="pip, constraints",
        ),
        pytest.param(
            pip(index=index(*ONE)),
            (),
            f"{PIP_HEAD} --index-url https://a/simple {REPORT} --only-binary :all:",
            id="pip, index",
        ),
        pytest.param(
            pip(index=index(*ONE), wheelhouse=Path("/wheels")),
            (),
            f"{PIP_HEAD} --no-index --find-links /wheels {REPORT} --only-binary :all:",
            id="pip, wheelhouse in the place of the index",
        ),
        pytest.param(
            pip(
                index=index(*ONE),
                compile_bytecode=False,
                dependencies=False,
                only_binary=True,
            ),
            (Path("/c1"),),
            f"{PIP_HEAD} --index-url https://a/simple --constraint /c1 --no-deps"
            f" {REPORT} --only-binary :all: --no-compile",
            id="pip, everything",
        ),
    ],
)
@pytest.mark.parametrize(
    "what", ["ade-engine[x]>=1; os_name == 'posix'", WheelIn(Path("/out"))], ids=["name", "wheel"]
)
def test_install_has_every_option_before_the_one_thing_it_installs(
    commands: InstallerCommands, constraints: tuple[Path, ...], expected: str, what: Argument
) -> None:
    (planned,) = commands.install(what, constraints)

    assert planned.argv == (*argv(expected), "--", what)
    # pip runs what packages of the venv tell Python to run at its start, so it shares no cache.
    assert planned.access is (Access.INSTALL if isinstance(commands, Uv) else Access.INSTALL_OWN)


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (
            uv(index=index(*ONE)),
            [
                (
                    f"build: {UV_HEAD} --default-index https://a/simple --constraints /c1"
                    " --target BUILT -- ade-engine"
                ),
                f"rework: /opt/python3.12 -I -S -B {UNSHARE_FILES} VENV",
                (
                    f"install-own: {UV_HEAD} --default-index https://a/simple --constraints /c1"
                    " --link-mode copy -- ade-engine"
                ),
            ],
        ),
        (
            pip(index=index(*ONE)),
            [
                (
                    "build: VENV/bin/python -I -m pip wheel --index-url https://a/simple"
                    " --constraint /c1 --wheel-dir BUILT -- ade-engine"
                ),
                (
                    f"install-own: {PIP_HEAD} --no-index --find-links BUILT --constraint /c1"
                    f" {REPORT} --only-binary :all: -- ade-engine"
                ),
            ],
        ),
    ],
    ids=["uv", "pip"],
)
def test_what_has_no_wheel_is_built_apart_from_the_venv_and_then_installed(
    commands: InstallerCommands, expected: list[str]
) -> None:
    (install,) = commands.install("ade-engine", (Path("/c1"),))

    told = [
        f"{command.access}: {' '.join(map(str, command.argv))}"
        for command in install.without_wheels
    ]
    assert told == [
        line.replace("VENV", VENV).replace("BUILT", str(PATHS.built)) for line in expected
    ]


@pytest.mark.parametrize("make", [uv, pip], ids=["uv", "pip"])
def test_nothing_is_built_where_the_spec_wants_wheels_only(make: Any) -> None:
    (planned,) = make(only_binary=True).install("ade-engine", ())

    assert planned.without_wheels == ()


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("  cause: Because all versions of docopt have no usable wheels and you require", True),
        ("hint: Wheels are required for `docopt` because building from source is disabled", True),
        ("ERROR: No matching distribution found for docopt", True),
        ("  cause: Because nosuch was not found in the package registry", False),
    ],
    ids=["uv", "uv, hint", "pip", "uv, no such package"],
)
def test_want_of_a_wheel_is_told_from_the_last_lines(line: str, *, lacks: bool) -> None:
    assert lacks_wheels(["Using Python 3.12.4", line]) is lacks


@pytest.mark.parametrize("dependencies", [True, False])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (uv, "/bin/uv pip check --python VENV/bin/python"),
        (pip, "VENV/bin/python -I -m pip check"),
    ],
    ids=["uv", "pip"],
)
def test_dependency_check_is_tolerated_where_dependencies_are_left_out(
    make: Any, expected: str, *, dependencies: bool
) -> None:
    planned = make(dependencies=dependencies).check()

    assert planned == PlannedCommand(
        argv=argv(expected), access=Access.INSPECT, tolerated=not dependencies
    )


PRIVATE = IndexOptions(urls=("https://a/simple", "https://b/simple"), secret="login")


@pytest.mark.parametrize("make", [uv, pip], ids=["uv", "pip"])
def test_wheelhouse_needs_no_credentials(make: Any) -> None:
    (planned,) = make(index=PRIVATE, wheelhouse=Path("/wheels")).install("a", ())

    assert planned.access is not Access.FETCH


@pytest.mark.parametrize("make", [uv, pip], ids=["uv", "pip"])
def test_what_has_credentials_takes_wheels_and_stands_apart_from_the_venv(make: Any) -> None:
    fetch, install = make(index=PRIVATE).install("a", (Path("/c"),))

    texts = [str(word) for word in fetch.argv]
    assert fetch.access is Access.FETCH
    assert "--no-build" in texts or ("--only-binary" in texts and ":all:" in texts)
    assert texts[-2:] == ["--", "a"]
    assert not any(VENV in text for text in texts)
    assert install.without_wheels == ()


def test_install_after_a_fetch_asks_nobody() -> None:
    *_, with_uv = uv(index=PRIVATE).install("a", ())
    *_, with_pip = pip(index=PRIVATE).install("a", ())

    assert with_uv.access is Access.INSTALL_FETCHED
    assert {"--offline", "--no-build"} <= set(with_uv.argv)
    assert with_pip.access is Access.INSTALL_OWN
    assert "--no-index" in with_pip.argv


def test_pip_is_upgraded_from_a_private_index_in_the_same_way() -> None:
    make, fetch, install = pip(index=PRIVATE).upgrade_itself()

    assert [make.access, fetch.access] == [Access.FETCH, Access.FETCH]
    assert "--no-index" in install.argv


def test_indexes_are_named_in_their_order_and_the_last_is_the_default() -> None:
    found = tomllib.loads(uv_index_config(['https://a/s?x="', "https://b/s"]))["index"]

    assert [(it["name"], it["url"], it["default"]) for it in found] == [
        ("ade0", 'https://a/s?x="', False),
        ("ade1", "https://b/s", True),
    ]
    assert uv_index_config([]) == ""
