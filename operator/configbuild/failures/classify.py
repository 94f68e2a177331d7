"""Applies the table to a command that failed. Pure: never raises, whatever was written."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV

from configbuild.failures.ending import Ending, Failure
from configbuild.failures.table import RULES, Quote, Rule
from configbuild.failures.wording import command_title, how_it_ended, last_words, quoted
from configbuild.model import Step

# A name in a hint: longer than those of packages and libraries.
_NAME_CHARACTERS = 80

# pip's two sides of a conflict, or a file with its two hashes.
_LINES_BELOW = 3

_SOURCES = {
    Step.UPGRADE_PIP: "the operator",
    Step.INSTALL_ENGINE: "spec.engine",
    Step.INSTALL_CONFIG: "spec.config",
}

# The commands that build a source tree that the spec names, and nothing else.
_BUILD_TITLES = ("uv build", "pip wheel")

_KILLED = (
    "it was probably killed for want of memory: raise the limit of the operator's pod, or take"
    " versions that have a wheel (spec.install.constraints)"
)
_CRASHED = (
    "compiled code of a package crashed while it was imported: take another version of it"
    " (spec.install.constraints)"
)
_CRASHES = frozenset({SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV})

# What uv puts before the links of its chain of errors, in this version and in earlier ones.
_LINK = re.compile(r"^(?:cause:|Caused by:|╰─▶|├─▶|╰─>|\N{MULTIPLICATION SIGN})\s*")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_FILE = re.compile(r'^File "[^"]*/site-packages/(?P<file>[^"]+)", line (?P<line>\d+)')


def classify(ending: Ending) -> Failure:
    """Say why a command failed: by the first rule of the table that fits.

    If none does, the reason is ``ending.otherwise`` and the telling line the last one.
    """
    title = f"{command_title(ending.argv)} {how_it_ended(ending.exit_code, ending.signal)}"
    if ending.signal == SIGKILL and ending.oom_kills != 0:
        return Failure(reason="OutOfMemory", headline=title, hint=_KILLED)
    lines = [line.strip() for line in ending.lines]
    for rule in RULES:
        if found := _find(rule, ending, lines):
            return Failure(
                reason=rule.reason,
                headline=_headline(title, found.quote),
                hint=_hint(rule, ending, found.names),
            )
    headline = _headline(title, last_words(lines))
    if ending.signal in _CRASHES and ending.step is Step.VERIFY_IMPORTS:
        return Failure(reason="ImportFailed", headline=headline, hint=_CRASHED)
    return Failure(reason=ending.otherwise, headline=headline, hint=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A rule that fits: the line to quote, and what its patterns picked out."""

    quote: str | None
    names: Mapping[str, str]


def _find(rule: Rule, ending: Ending, lines: Sequence[str]) -> _Found | None:
    if ending.step not in rule.steps:
        return None
    if rule.building is not None and rule.building is not _is_building(ending):
        return None
    matches = [(at, found) for at, line in enumerate(lines) if (found := rule.pattern.search(line))]
    if rule.engine:
        asked = _asks_for(ending.engine)
        matches = [(at, found) for at, found in matches if asked and asked.search(found.string)]
    if not matches:
        return None
    at, found = matches[-1] if rule.quote is Quote.LAST else matches[0]
    names = _names(found)
    if rule.also is not None:
        others = [other for line in lines if (other := rule.also.search(line))]
        if not others or (rule.confirm and not rule.confirm(found, others[0])):
            return None
        # The first alternative that picked something out counts.
        names = {**ChainMap(*map(_names, others)), **names}
    quote = names.pop("quote", None) or _quote(rule.quote, lines, at)
    return _Found(quote=quote, names=names)


def _is_building(ending: Ending) -> bool:
    return command_title(ending.argv) in _BUILD_TITLES


def _asks_for(engine: str) -> re.Pattern[str] | None:
    """Make the pattern of a requirement of the engine, in the words of uv and pip."""
    if not engine:
        return None
    # PEP 503: runs of these are one.
    name = r"[-_.]+".join(map(re.escape, re.split(r"[-_.]+", engine)))
    return re.compile(
        rf"(?:depends? on|requires|has requirement) [`']?{name}(?![\w.-])", re.IGNORECASE
    )


def _names(found: re.Match[str]) -> dict[str, str]:
    """Give what the groups picked out; ``package_1`` is another alternative's ``package``."""
    return {name.partition("_")[0]: text for name, text in found.groupdict().items() if text}


def _quote(quote: Quote, lines: Sequence[str], at: int) -> str | None:
    match quote:
        case Quote.FIRST | Quote.LAST:
            return _in_file(lines, at)
        case Quote.BEFORE:
            return last_words(lines[:at]) or lines[at]
        case Quote.BELOW:
            below = list(takewhile(bool, lines[at + 1 : at + 1 + _LINES_BELOW]))
            return "; ".join(below) or lines[at]
        case Quote.CHAIN:
            causes = [line for line in lines[at:] if _LINK.match(line)]
            last = _LINK.sub("", causes[-1]) if causes else ""
            return f"{lines[at]}: {last}" if last and last not in lines[at] else lines[at]


def _in_file(lines: Sequence[str], at: int) -> str:
    """Give a line; of an import that failed also where, by the traceback before it."""
    line = lines[at]
    if not line.startswith("error: import "):
        return line
    for before in reversed(lines[:at]):
        if before.startswith("error: import "):
            break
        if found := _FILE.match(before):
            where = f"({found['file']}, line {found['line']})"
            return line if where in line else f"{line} {where}"
    return line


def _headline(title: str, line: str | None) -> str:
    return f"{title}: {quoted(_LINK.sub('', line))}" if line else title


def _hint(rule: Rule, ending: Ending, names: Mapping[str, str]) -> str:
    known = {
        "package": "the package",
        "name": "it",
        "module": "the module",
        "bound": "what it requires",
        **names,
        "source": _SOURCES.get(ending.step, "the spec"),
    }
    return _PLACEHOLDER.sub(
        lambda found: quoted(known[found[1]], limit=_NAME_CHARACTERS), rule.hint
    )
