"""The environment of a build's commands: an allow-list, and nothing of the operator's beyond it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.cage import Cage, Limits
from configbuild.installers import PlannedCommand, Uv
from configbuild.model import IndexOptions, InstallOptions
from configbuild.sandbox import PASSED_ON, make_cage, step_environment
from tests.unit.examples import DETERMINED, paths, tools

PATHS = paths()
TREE = Path("/tree")
ALONE = step_environment(PATHS, {})

# What an operator's environment has and a build must not: secrets, and switches of the tools.
FOREIGN = {
    "ADE_HTTP_PORT": "8080",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "HOME": "/root",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "LD_PRELOAD": "/x.so",
    "PATH": "/evil",
    "PIP_CONFIG_FILE": "/etc/pip.conf",
    "PIP_FIND_LINKS": "/wheels",
    "PIP_INDEX_URL": "https://user:secret@index/simple",
    "PYTHONPATH": "/evil",
    "UV_INDEX_URL": "https://user:secret@index/simple",
    "UV_NO_CONFIG": "0",
    "VIRTUAL_ENV": "/operator",
}


def test_nothing_of_the_operators_environment_gets_through() -> None:
    assert step_environment(PATHS, FOREIGN) == ALONE


def test_proxies_and_certificates_get_through() -> None:
    inherited = {name: f"value of {name}" for name in PASSED_ON}

    made = step_environment(PATHS, inherited)

    assert {name: made[name] for name in PASSED_ON} == inherited
    assert made["PIP_CERT"] == inherited["SSL_CERT_FILE"]
    assert made.keys() - ALONE.keys() == {*PASSED_ON, "PIP_CERT"}


def test_empty_variable_counts_as_none() -> None:
    assert step_environment(PATHS, dict.fromkeys(PASSED_ON, "")) == ALONE


@DETERMINED
@given(st.dictionaries(st.sampled_from([*FOREIGN, *PASSED_ON, *ALONE]) | st.text(), st.text()))
def test_whatever_is_inherited_what_is_fixed_stays(inherited: dict[str, str]) -> None:
    made = step_environment(PATHS, inherited)

    assert made.items() >= ALONE.items()
    assert made.keys() - ALONE.keys() <= {*PASSED_ON, "PIP_CERT"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UV_NO_CONFIG", "1"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("UV_KEYRING_PROVIDER", "disabled"),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_KEYRING_PROVIDER", "disabled"),
        ("NETRC", "/dev/null"),
        ("GIT_ALLOW_PROTOCOL", "https"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ],
)
def test_no_files_prompts_or_stores_of_a_person_are_used(name: str, value: str) -> None:
    assert ALONE[name] == value


def test_home_and_temporary_files_are_in_scratch_and_caches_in_the_namespaces_own() -> None:
    scratch = {"HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    caches = {"UV_CACHE_DIR", "PIP_CACHE_DIR"}

    assert all(ALONE[name].startswith(f"{PATHS.scratch}/") for name in scratch)
    assert all(ALONE[name].startswith(f"{PATHS.cache}/") for name in caches)


def test_program_starts_in_it_and_sees_just_this() -> None:
    code = "import os; print('\\n'.join(os.environ))"

    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env=ALONE,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert set(done.stdout.split()) == set(ALONE)


@pytest.mark.parametrize("secret", [None, "login"])
def test_looking_up_has_no_network_and_changes_no_venv(secret: str | None) -> None:
    options = InstallOptions(index=IndexOptions(urls=("https://a/simple",), secret=secret))
    commands = Uv(options=options, paths=PATHS, tools=tools())

    def cage(command: PlannedCommand) -> Cage:
        return make_cage(
            command,
            paths=PATHS,
            tools=tools(),
            index_urls=options.index.urls,
            environment={},
            limits=Limits(),
        )

    (look_up,) = commands.look_up()
    install = commands.install("a", ())[-1]
    its_cache = PATHS.caches.uv if secret is None else PATHS.index_caches.uv

    assert cage(look_up).ports == ()
    assert PATHS.venv not in (*cage(look_up).writable, *cage(look_up).readable)
    assert {its_cache, PATHS.lookup} <= set(cage(look_up).writable)
    # It looks where the install has put it, and that one did need the venv.
    assert its_cache in cage(install).writable
    assert PATHS.venv in cage(install).writable


def test_compiling_tools_reaches_the_configs_own_cache_alone() -> None:
    build = Uv(options=InstallOptions(), paths=PATHS, tools=tools()).build_wheel(TREE, TREE)
    assert build.compiles_tools is not None
    cage = make_cage(
        build.compiles_tools,
        paths=PATHS,
        tools=tools(),
        index_urls=(),
        environment={},
        limits=Limits(),
    )

    assert cage.writable == (Path("/dev/null"), PATHS.own_caches.uv)
    assert cage.ports == ()
    assert not {PATHS.venv, PATHS.scratch, PATHS.cache} & set(cage.readable)
    # What says that tools have been compiled is not for them to write.
    assert not PATHS.compiled_tools.is_relative_to(PATHS.own_caches.uv)
