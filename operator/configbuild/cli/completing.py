"""What a shell offers when a word of ``kubectl configbuild`` is to be completed.

kubectl asks a plugin by a program of its own, ``kubectl_complete-configbuild``, in every shell for
which ``kubectl completion`` was loaded. The answer is Cobra's: a candidate a line, perhaps a tab
and what it is, and at last a colon and flags for the shell.

Source: https://github.com/kubernetes/kubernetes/pull/105867, and Cobra's ``__complete``
(https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, get_type_hints

import typer

from configbuild.cli.objects import in_namespace, read_quietly

# Cobra's ShellCompDirective: no file names where we know better; file names where they are wanted.
_NO_FILES = 4
_FILES = 0

# A person waits at the keyboard: rather nothing than late.
_PATIENCE = "--request-timeout=2s"

Candidate = tuple[str, str]
"""A word, and what it is; that may be empty."""


@dataclass(slots=True, kw_only=True)
class _Line:
    """What was typed so far of one command, by the names of its parameters."""

    values: dict[str, str] = field(default_factory=dict)
    awaited: Any = None  # the option whose value comes next
    passed_on: bool = False  # behind `--`, where the words are another program's


def answer(app: typer.Typer, words: Sequence[str]) -> list[str]:
    """Answer as Cobra does; the last of ``words`` is the one to be completed, perhaps empty."""
    *before, incomplete = words or [""]
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    candidates: list[Candidate] | None
    if not before:
        candidates = [(name, _brief(it.help)) for name, it in commands.items() if not it.hidden]
    elif before[0] in commands:
        candidates = _in_command(commands[before[0]], before[1:], incomplete)
    else:
        candidates = []
    if candidates is None:
        return [f":{_FILES}"]
    if incomplete.startswith("-") and "=" in incomplete:  # the value is asked for
        incomplete = incomplete.partition("=")[2]
    fitting = [(word, said) for word, said in candidates if word.startswith(incomplete)]
    return [*(f"{word}\t{said}" if said else word for word, said in fitting), f":{_NO_FILES}"]


def _in_command(command: Any, before: list[str], incomplete: str) -> list[Candidate] | None:
    """List what may come next; ``None``: a file's name."""
    line = _read(command, before)
    if line.passed_on:
        return None
    if line.awaited is not None:
        return _values(command, line.awaited, line.values)
    if incomplete.startswith("-") and "=" in incomplete:
        spelling = incomplete.partition("=")[0]
        option = next((it for it in command.params if spelling in it.opts), None)
        return _values(command, option, line.values) if option is not None else []
    if incomplete.startswith("-"):
        return [
            (spelling, _brief(param.help))
            for param in command.params
            if param.param_type_name == "option"
            for spelling in param.opts
            if spelling.startswith("--")
        ]
    awaited = next((it for it in _arguments(command) if it.name not in line.values), None)
    return _values(command, awaited, line.values) if awaited is not None else []


def _read(command: Any, before: list[str]) -> _Line:
    options = {spelling: it for it in command.params for spelling in (*it.opts, *it.secondary_opts)}
    line = _Line()
    for word in before:
        spelling, equals, value = word.partition("=")
        if line.awaited is not None:
            line.values[line.awaited.name], line.awaited = word, None
        elif word == "--":
            line.passed_on = True
            break
        elif word.startswith("-") and equals and spelling in options:
            line.values[options[spelling].name] = value
        elif word.startswith("-"):
            option = options.get(word)
            line.awaited = option if option is not None and not option.is_flag else None
        else:
            free = next((it for it in _arguments(command) if it.name not in line.values), None)
            if free is not None:
                line.values[free.name] = word
    return line


def _arguments(command: Any) -> Iterator[Any]:
    return (param for param in command.params if param.param_type_name == "argument")


def _values(command: Any, param: Any, typed: Mapping[str, str]) -> list[Candidate] | None:
    kind = get_type_hints(inspect.unwrap(command.callback)).get(param.name)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [(member.value, "") for member in kind]
    if param.name in _KNOWN:
        return _KNOWN[param.name](typed)
    return None if "FILE" in (param.metavar or "") else []


def _names(typed: Mapping[str, str]) -> list[Candidate]:
    found = read_quietly("get", "configbuilds", *in_namespace(typed.get("namespace")), _PATIENCE)
    return [
        (str(item["metadata"]["name"]), str((item.get("status") or {}).get("phase", "")))
        for item in found.get("items") or ()
    ]


def _builds(typed: Mapping[str, str]) -> list[Candidate]:
    where = in_namespace(typed.get("namespace"))
    body = read_quietly("get", "configbuild", typed.get("name", ""), *where, _PATIENCE)
    status = body.get("status") or {}
    builds = [status.get("build"), *(status.get("history") or ())]
    return [(str(it["id"]), str(it.get("status", ""))) for it in builds if it]


def _namespaces(_: Mapping[str, str]) -> list[Candidate]:
    found = read_quietly("get", "namespaces", _PATIENCE)
    return [(str(item["metadata"]["name"]), "") for item in found.get("items") or ()]


_KNOWN: dict[str, Callable[[Mapping[str, str]], list[Candidate]]] = {
    "name": _names,
    "target": _names,
    "build_id": _builds,
    "namespace": _namespaces,
}


def _brief(text: str | None) -> str:
    return (text or "").strip().split("\n")[0].split("; ")[0].rstrip(".")
