"""What shells offer, by real bash, zsh and fish."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from configbuild.cli.completing import answer
from configbuild.cli.kubectl import app
from tests.cli.support import PATIENCE_S, argv, environment

BODY = {
    "metadata": {"namespace": "team-a", "name": "invoices"},
    "status": {
        "phase": "Active",
        "build": {"id": "build_2", "status": "active"},
        "history": [{"id": "build_1", "status": "failed"}],
    },
}
NAMESPACES = {"items": [{"metadata": {"name": "team-a"}}, {"metadata": {"name": "team-b"}}]}

KUBECTL = """\
#!/bin/sh
case "$*" in
  "get configbuilds -n team-a "*) echo '{all}';;
  "get configbuild invoices "*) echo '{one}';;
  "get namespaces "*) echo '{namespaces}';;
  *) exit 1;;
esac
"""


def fake_kubectl(tmp_path: Path) -> Path:
    program = tmp_path / "fake-kubectl"
    program.write_text(
        KUBECTL.format(
            all=json.dumps({"items": [BODY]}),
            one=json.dumps(BODY),
            namespaces=json.dumps(NAMESPACES),
        )
    )
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def _asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL", str(fake_kubectl(tmp_path)))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("de", ["describe\tShow a page on a ConfigBuild: state and cause, steps and their times,"]),
        ("build --f", ["--force\tBuild anew"]),
        ("build invoices -o js", ["json"]),
        ("build invoices --output=n", ["ndjson", "name"]),
        ("build invoices --outputs=n", []),
        ("completion ", ["bash", "zsh", "fish"]),
        ("describe -n team-a ", ["invoices\tActive"]),
        ("describe --namespace=team-a inv", ["invoices\tActive"]),
        ("describe -n team-a x", []),
        ("describe -n team-a invoices ", []),
        ("activate -n team-a invoices ", ["build_2\tactive", "build_1\tfailed"]),
        ("logs -n ", ["team-a", "team-b"]),
        ("logs --follow -n team-b", ["team-b"]),
        ("nonsense ", []),
    ],
)
def test_words_are_offered_where_they_are_known(words: str, expected: list[str]) -> None:
    *found, directive = answer(app, words.split(" "))
    assert directive == ":4"
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("words", ["run invoices -- ", "logs x --token-file "])
def test_names_of_files_are_left_to_the_shell(words: str) -> None:
    assert answer(app, words.split(" ")) == [":0"]


def on_path(directory: Path, *programs: str) -> dict[str, str]:
    """An environment that has the plugin's programs, as an installation has them."""
    places = directory / "bin"
    places.mkdir()
    for name in programs:
        entry = "complete" if name.startswith("kubectl_complete") else "main"
        code = f"from configbuild.cli.kubectl import {entry}; {entry}()"
        script = places / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(code)} "$@"\n')
        script.chmod(0o755)
    path = f"{places}{os.pathsep}{os.environ['PATH']}"
    return environment({"PATH": path, "KUBECTL": directory / "fake-kubectl"})


def shell(name: str, script: str, env: Mapping[str, str]) -> list[str]:
    program = shutil.which(name)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing; .ci/run installs it")
        pytest.skip(f"{name} is missing (Debian: apt install {name})")
    quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    done = subprocess.run(
        [program, *quiet, "-c", script],
        env={**env, "TERM": "dumb"},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


# What each shell does when somebody types Tab, as far as that is not its own business.
SCRIPTS = {
    "bash": """\
source <(kubectl-configbuild completion bash)
COMP_WORDS=(kubectl-configbuild {words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_kubectl_configbuild
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """\
compdef() {{ }}
_describe() {{ print -l -- "${{(@P)2}}" }}
_files() {{ print FILES }}
source <(kubectl-configbuild completion zsh)
words=(kubectl-configbuild {words}) CURRENT=$#words
_kubectl_configbuild
""",
    "fish": """\
kubectl-configbuild completion fish | source
complete -C 'kubectl-configbuild {words}'
""",
}


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shell_offers_what_the_plugin_answers(tmp_path: Path, name: str) -> None:
    env = on_path(tmp_path, "kubectl-configbuild")
    typed = shell(name, SCRIPTS[name].format(words="activate -n team-a invoices build_"), env)
    between = {"bash": None, "zsh": ":", "fish": "\t"}[name]
    expected = [("build_2", "active"), ("build_1", "failed")]
    assert sorted(typed) == sorted(
        word if between is None else f"{word}{between}{said}" for word, said in expected
    )


def test_command_line_answers_by_itself() -> None:
    done = subprocess.run(
        argv("kubectl", "__complete", "act"), capture_output=True, check=True, text=True
    )
    assert done.stdout.splitlines()[0].startswith("activate\t")
