"""From a spec to the commands of its six steps, and that none of its words becomes an option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.errors import SpecError
from configbuild.installers import PlannedCommand, WheelIn
from configbuild.model import (
    ArchiveSource,
    BuildSpec,
    ConfigMapSource,
    ConfigSource,
    GitSource,
    IndexOptions,
    Installer,
    InstallOptions,
    PathSource,
    RequirementSource,
    Step,
)
from configbuild.plan import PlannedStep, make_plan
from configbuild.resource.convert import SpecDefaults, parse_spec, resolve_spec
from configbuild.steps import COLLECT_METADATA, COMPILE_BYTECODE, VERIFY_IMPORTS
from tests.unit.examples import DETERMINED, paths, spec, tools

PATHS = paths()
NAMES = {
    "VENV": str(PATHS.venv),
    "SCRATCH": str(PATHS.scratch),
    "VERIFY": str(VERIFY_IMPORTS),
    "COLLECT": str(COLLECT_METADATA),
    "COMPILE": str(COMPILE_BYTECODE),
    "KEPT": str(PATHS.kept_bytecode),
}


def plan(made: BuildSpec, **changes: Any) -> dict[Step, PlannedStep]:
    planned = make_plan(made, paths=PATHS, tools=tools(**changes))
    return {step.step: step for step in planned.steps}


def words(command: PlannedCommand) -> str:
    """The argv in one line, with the test's names for places and <DIR> for a wheel in it."""
    text = " ".join(
        f"<{argument.directory}>" if isinstance(argument, WheelIn) else argument
        for argument in command.argv
    )
    for name, place in NAMES.items():
        text = text.replace(place, name)
    return text + (" (tolerated)" if command.tolerated else "")


def script(made: BuildSpec) -> list[str]:
    return [
        f"{step.step}: {words(command)}"
        for step in plan(made).values()
        for command in step.commands
    ]


def test_plan_has_all_six_steps_in_their_order() -> None:
    assert list(plan(spec())) == list(Step)[1:]


def test_remote_source_is_fetched_before_anything_else() -> None:
    archive = ArchiveSource(url="https://example.com/rules.zip", sha256="0" * 64)

    steps = plan(spec(config=archive))

    assert list(steps) == list(Step)
    assert steps[Step.FETCH_CONFIG].message == (
        "Fetch config from archive https://example.com/rules.zip"
    )


def test_whole_plan_with_uv_and_requirements() -> None:
    assert script(spec()) == [
        "create_venv: /bin/uv venv --no-project --python /opt/python3.12 VENV",
        (
            "install_engine: /bin/uv pip install --no-sources --python VENV/bin/python"
            " --no-build -- ade-engine==1.4.0"
        ),
        (
            "install_config: /bin/uv pip install --no-sources --python VENV/bin/python"
            " --constraints SCRATCH/engine-hold.txt --no-build -- ade-config==2.1"
        ),
        ("install_config: /opt/python3.12 -I -S -B COMPILE VENV/lib/python3.12/site-packages KEPT"),
        "verify_imports: VENV/bin/python -I -B VERIFY SCRATCH/engine.json ade_engine ade_config",
        "verify_imports: /bin/uv pip check --python VENV/bin/python",
        (
            "collect_metadata: /operator/python -I -S -B COLLECT VENV/lib/python3.12/site-packages"
            " SCRATCH/metadata.json SCRATCH/lookup/pins.txt"
        ),
        (
            "collect_metadata: /bin/uv pip compile -qq --offline --no-deps --no-build --no-sources"
            " --python /opt/python3.12 --no-header --output-file SCRATCH/lookup/pylock.toml"
            " SCRATCH/lookup/pins.txt (tolerated)"
        ),
    ]


def test_whole_plan_with_pip_source_trees_and_every_option() -> None:
    made = spec(
        engine=PathSource(path="engine"),
        config=ConfigMapSource(name="invoices"),
        install=InstallOptions(
            installer=Installer.PIP,
            dependencies=False,
            constraints=("pandas<3",),
            index=IndexOptions(urls=("https://a/simple",)),
            compile_bytecode=False,
        ),
    )
    pip = "VENV/bin/python -I -m pip"
    index = "--index-url https://a/simple"
    report = "--report SCRATCH/pip-report.json"
    install = f"{pip} install {index} --constraint SCRATCH/constraints.txt"
    only_wheels = f"--no-deps {report} --only-binary :all: --no-compile"

    assert script(made) == [
        "create_venv: /opt/python3.12 -I -m venv VENV",
        f"upgrade_pip: {pip} install --upgrade {index} {report} pip setuptools wheel",
        (
            f"install_engine: {pip} wheel --no-deps {index}"
            " --wheel-dir SCRATCH/engine-wheel SCRATCH/engine"
        ),
        f"install_engine: {install} {only_wheels} -- <SCRATCH/engine-wheel>",
        (
            f"install_config: {pip} wheel --no-deps {index}"
            " --wheel-dir SCRATCH/config-wheel SCRATCH/config"
        ),
        (
            f"install_config: {install} --constraint SCRATCH/engine-hold.txt {only_wheels}"
            " -- <SCRATCH/config-wheel>"
        ),
        "verify_imports: VENV/bin/python -I -B VERIFY SCRATCH/engine.json ade_engine ade_config",
        f"verify_imports: {pip} check (tolerated)",
        (
            "collect_metadata: /operator/python -I -S -B COLLECT VENV/lib/python3.12/site-packages"
            " SCRATCH/metadata.json SCRATCH/lookup/pins.txt"
        ),
    ]


def test_uv_skips_upgrade_pip_and_the_step_says_why() -> None:
    step = plan(spec())[Step.UPGRADE_PIP]

    assert step.commands == ()
    assert step.skipped == "uv installs without pip in the environment"


@pytest.mark.parametrize("installer", Installer)
def test_engine_is_held_while_the_config_is_installed_and_at_no_other_time(
    installer: Installer,
) -> None:
    made = spec(config=PathSource(path="rules"), install=InstallOptions(installer=installer))

    holding = [
        step.step
        for step in plan(made).values()
        for command in step.commands
        if str(PATHS.engine_hold) in command.argv
    ]

    assert holding == [Step.INSTALL_CONFIG]


@pytest.mark.parametrize("installer", Installer)
def test_constraints_hold_for_both_installs(installer: Installer) -> None:
    options = InstallOptions(installer=installer, constraints=("pandas<3",))

    constrained = [
        step.step
        for step in plan(spec(install=options)).values()
        for command in step.commands
        if str(PATHS.constraints) in command.argv
    ]

    assert constrained == [Step.INSTALL_ENGINE, Step.INSTALL_CONFIG]


@pytest.mark.parametrize("installer", Installer)
def test_wheelhouse_keeps_every_command_from_asking_an_index(installer: Installer) -> None:
    made = spec(
        engine=PathSource(path="engine"),
        install=InstallOptions(
            installer=installer, index=IndexOptions(urls=("https://a/simple", "https://b/simple"))
        ),
    )

    steps = plan(made, wheelhouse=Path("/wheels")).values()

    argvs = [command.argv for step in steps for command in step.commands]
    assert not any("https://" in str(word) for argv in argvs for word in argv)
    asking = [argv for argv in argvs if {"install", "build", "wheel"} & set(argv)]
    assert all("--no-index" in argv and "/wheels" in argv for argv in asking)
    assert len(asking) >= 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (RequirementSource(requirement="ade-config==2.1"), "Install config ade-config==2.1"),
        (PathSource(path="rules"), "Install config from source tree rules"),
        (ConfigMapSource(name="invoices"), "Install config from ConfigMap invoices"),
    ],
    ids=["requirement", "path", "ConfigMap"],
)
def test_step_says_in_words_what_it_installs(source: ConfigSource, message: str) -> None:
    assert plan(spec(config=source))[Step.INSTALL_CONFIG].message == message


KNOWN_OPTIONS = {
    "-B",
    "-I",
    "-S",
    "-m",
    "-qq",
    "--config-file",
    "--constraint",
    "--constraints",
    "--default-index",
    "--dest",
    "--find-links",
    "--index",
    "--index-url",
    "--link-mode",
    "--no-build",
    "--no-compile",
    "--no-deps",
    "--no-header",
    "--no-index",
    "--no-project",
    "--no-sources",
    "--offline",
    "--only-binary",
    "--out-dir",
    "--output-file",
    "--python",
    "--report",
    "--target",
    "--upgrade",
    "--wheel",
    "--wheel-dir",
}
TAILS = st.text("-=ar1.:/@ \t\n\u000c\u0085\u2028'\"", max_size=6)
PLACES = ["file:/etc", "git+file:///etc", "https://h/x", "/etc", "../x"]
HOSTILE = st.sampled_from(PLACES) | st.builds(
    "{}{}".format, st.sampled_from(["-", "--", "-r", "--pre", "a ", ""]), TAILS
)
REQUIREMENTS = st.sampled_from(["a", "B.c[x]<3"]) | st.builds("a; os_name=='{}'".format, TAILS)
URLS = st.builds("https://h/{}".format, TAILS)
IMPORTS = st.sampled_from(["a", "a.b_c"])
SOURCES = st.fixed_dictionaries({"requirement": REQUIREMENTS | HOSTILE}) | st.fixed_dictionaries(
    {"path": st.just("a") | HOSTILE}
)
DOCUMENTS = st.fixed_dictionaries(
    {"config": SOURCES},
    optional={
        "engine": SOURCES,
        "install": st.fixed_dictionaries(
            {"installer": st.sampled_from(["uv", "pip"])},
            optional={
                "constraints": st.lists(REQUIREMENTS | HOSTILE, max_size=2),
                "index": st.fixed_dictionaries(
                    {"url": URLS | HOSTILE},
                    optional={"secretRef": st.just({"name": "login"})},
                ),
                "dependencies": st.booleans(),
                "onlyBinary": st.booleans(),
                "compileBytecode": st.booleans(),
            },
        ),
        "verify": st.fixed_dictionaries(
            {"imports": st.lists(IMPORTS | HOSTILE, min_size=1, max_size=2)}
        ),
    },
)
DEFAULTS = SpecDefaults(python="3.12", engine="ade-engine")


@DETERMINED
@given(DOCUMENTS)
def test_no_word_of_a_spec_becomes_an_option(document: dict[str, Any]) -> None:
    try:
        made = resolve_spec(parse_spec(document), DEFAULTS)
    except SpecError:
        return

    for step in plan(made).values():
        for command in [c for planned in step.commands for c in (planned, *planned.without_wheels)]:
            argv = [word for word in command.argv if isinstance(word, str)]
            end = argv.index("--") if "--" in argv else len(argv)
            assert {word for word in argv[:end] if word.startswith("-")} <= KNOWN_OPTIONS
            assert not any(word.startswith(("-", "/", ".")) for word in argv[end + 1 :])
            assert not any("://" in word.partition(";")[0] for word in argv[end + 1 :])
    for constraint in made.install.constraints:
        assert constraint.splitlines() == [constraint]
        assert not constraint.startswith("-")


@DETERMINED
@given(TAILS | HOSTILE, TAILS | HOSTILE, TAILS | HOSTILE)
def test_no_word_of_a_remote_source_becomes_an_option_or_a_way_out(
    branch: str, url: str, path: str
) -> None:
    git = {"url": f"https://h{url}", "ref": {"branch": branch}, "path": path}
    try:
        made = resolve_spec(parse_spec({"config": {"git": git}}), DEFAULTS).config
    except SpecError:
        return
    assert isinstance(made, GitSource)
    assert made.url.startswith("https://h")
    assert made.ref.startswith("refs/heads/")
    assert not made.path.startswith("/")
    assert ".." not in made.path.split("/")
