"""From what a failed command wrote to reason, telling line and hint.

What real tools write is in ``tests/failures``; here is what holds whatever they write.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configbuild.failures import TRANSIENT, Ending, Sample, classify, command_title, with_hint
from configbuild.failures.sample import TAIL_LINES
from configbuild.failures.table import RULES, Quote, Rule
from configbuild.failures.wording import QUOTE_CHARACTERS, last_words, quoted
from configbuild.model import Step
from tests.unit.examples import DETERMINED

UV_INSTALL = ("/opt/bin/uv", "pip", "install", "--", "xyz")
UV_BUILD = ("/opt/bin/uv", "build", "--wheel", "tree")
VERIFY = ("/venv/bin/python", "-I", "-B", "/opt/verify_imports.py", "engine.json", "ade_config")

# The words of uv 0.7: the fixtures have those of today.
UV_OF_OLD = """\
  No solution found when resolving dependencies:
  ╰─▶ Because the current Python version (3.11.7) does not satisfy Python>=3.13 and xyz==1.0
      depends on Python>=3.13, we can conclude that xyz==1.0 cannot be used.""".splitlines()
PIP_IGNORED = (
    "ERROR: Ignored the following versions that require a different python version:"
    " 2.0 Requires-Python >=3.99; 2.1 Requires-Python >=3.99"
)


def ending(*lines: str, **known: Any) -> Ending:
    fields: dict[str, Any] = {
        "argv": UV_INSTALL,
        "step": Step.INSTALL_CONFIG,
        "exit_code": 1,
        "signal": None,
        "otherwise": "InstallConfigFailed",
        **known,
    }
    return Ending(lines=lines, **fields)


def test_what_no_rule_knows_has_the_reason_of_its_step_and_the_last_line() -> None:
    told = classify(ending("downloading", "the moon is full", "hint: wait a month"))
    assert told.reason == "InstallConfigFailed"
    assert told.headline == "uv pip install exited with 1: the moon is full"
    assert told.hint is None


def test_command_that_wrote_nothing_is_told_by_its_end() -> None:
    assert classify(ending(" ", "")).headline == "uv pip install exited with 1"
    assert classify(ending(signal=15, exit_code=143)).headline == (
        "uv pip install was ended by signal 15"
    )


def test_words_of_an_earlier_uv_are_known_too() -> None:
    told = classify(ending(*UV_OF_OLD))
    assert told.reason == "RequiresPython"
    assert told.headline.startswith("uv pip install exited with 1: Because the current Python")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        pytest.param("xyz==2.0", "RequiresPython", id="an ignored version was wanted"),
        pytest.param("xyz>=1.5", "RequiresPython", id="an ignored version would have done"),
        pytest.param("xyz==9.9", "NoMatchingDistribution", id="another was wanted"),
    ],
)
def test_versions_that_pip_ignored_count_only_if_they_were_wanted(wanted: str, reason: str) -> None:
    conclusion = (
        f"ERROR: Could not find a version that satisfies the requirement {wanted} (from versions:"
        " 1.0)"
    )
    assert classify(ending(PIP_IGNORED, conclusion)).reason == reason


def test_kill_by_the_kernel_counts_as_want_of_memory_unless_it_is_known_not_to_be() -> None:
    killed: dict[str, Any] = {"signal": 9, "exit_code": 137}
    assert classify(ending("compiling", **killed)).reason == "OutOfMemory"
    assert classify(ending("compiling", **killed, oom_kills=1)).reason == "OutOfMemory"
    assert classify(ending("compiling", **killed, oom_kills=0)).reason == "InstallConfigFailed"


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        pytest.param("ade-engine", "EngineConflict", id="its name"),
        pytest.param("Ade_Engine", "EngineConflict", id="its name, written otherwise"),
        pytest.param("ade", "ResolutionImpossible", id="another that begins alike"),
        pytest.param("", "ResolutionImpossible", id="no engine yet"),
    ],
)
def test_conflict_is_one_of_the_engine_if_the_engine_is_asked_for(engine: str, reason: str) -> None:
    told = classify(
        ending(
            "error: No solution found when resolving dependencies",
            "  cause: Because all versions of ade-config depend on ade-engine>=2 and"
            " ade-engine==1.4.0, we can conclude that all versions of ade-config cannot be used.",
            engine=engine,
        )
    )
    assert told.reason == reason


def test_words_of_an_import_are_no_words_of_an_index() -> None:
    told = classify(
        ending(
            "error: import ade_config failed: RuntimeError: Connection refused (os error 111)",
            argv=VERIFY,
            step=Step.VERIFY_IMPORTS,
        )
    )
    assert told.reason == "ImportFailed"


def test_retries_that_pip_survived_do_not_count() -> None:
    told = classify(
        ending(
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError()'",
            "The conflict is caused by:",
            "    left 1.0 depends on shared<2",
            "    right 1.0 depends on shared>=2",
            "",
            "ERROR: ResolutionImpossible: for help visit",
        )
    )
    assert told.reason == "ResolutionImpossible"
    assert told.headline.endswith("left 1.0 depends on shared<2; right 1.0 depends on shared>=2")


def test_file_that_is_missing_is_no_program_that_is_missing() -> None:
    told = classify(
        ending(
            '    long_description=open("README").read()',
            "FileNotFoundError: [Errno 2] No such file or directory: 'README'",
            "error: Failed to build `/scratch/config`",
            argv=UV_BUILD,
        )
    )
    assert told.reason == "BuildBackendFailed"
    assert "'README'" in told.headline


@pytest.mark.parametrize("rule", RULES, ids=[f"{n} {rule.reason}" for n, rule in enumerate(RULES)])
def test_hint_of_each_rule_names_what_is_known(rule: Rule) -> None:
    groups = {*rule.pattern.groupindex, *(rule.also.groupindex if rule.also else ())}
    known = {name.partition("_")[0] for name in groups} | {"source"}
    # A name that only some alternatives pick out is told in general words by the others.
    assert set(re.findall(r"\{(\w+)\}", rule.hint)) <= known | {"package"}
    assert len(rule.hint) < 300


def test_every_reason_is_explained_to_authors() -> None:
    page = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()
    for reason in {rule.reason for rule in RULES}:
        assert f"\n| `{reason}` |" in page, reason
    assert {rule.reason for rule in RULES} >= TRANSIENT


WORDS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "error: Failed to build `x`",
            "error: import ade_config failed: ",
            "ERROR: Cannot install ",
            "The conflict is caused by:",
            PIP_IGNORED,
            "Could not find a version that satisfies the requirement ]] (from versions: none)",
            "[end of output]",
            "cause: ",
            "Download failed after 3 attempts",
            "{source} {0} %s",
            "x" * 5000,
        ]
    ),
)


@DETERMINED
@given(
    lines=st.lists(WORDS, max_size=30),
    step=st.sampled_from(Step),
    argv=st.sampled_from([UV_INSTALL, UV_BUILD, VERIFY]),
    number=st.integers(min_value=0, max_value=64),
    engine=st.text(max_size=10),
)
def test_whatever_was_written_is_told_in_one_bounded_line(
    lines: list[str], step: Step, argv: tuple[str, ...], number: int, engine: str
) -> None:
    told = classify(
        ending(*lines, step=step, argv=argv, exit_code=128 + number, signal=number, engine=engine)
    )
    assert len(told.headline.splitlines()) == 1
    assert len(told.headline) <= QUOTE_CHARACTERS + 60
    assert re.fullmatch(r"[A-Z][A-Za-z]+", told.reason)
    if told.hint is not None:
        assert len(told.hint.splitlines()) == 1
        assert len(told.hint) < 500


@DETERMINED
@given(text=st.text(max_size=1000), limit=st.integers(min_value=1, max_value=300))
def test_quoted_line_is_one_line_and_bounded(text: str, limit: int) -> None:
    assert len(quoted(text, limit=limit)) <= limit
    assert len(quoted(text, limit=limit).splitlines()) <= 1


def test_last_words_are_no_asides() -> None:
    assert last_words(["it broke", "hint: look", "note: this"]) == "it broke"
    assert last_words(["", "  "]) is None


def test_hint_stands_in_the_first_line_where_tables_show_it() -> None:
    assert with_hint("it broke\nline", "mend it") == "it broke (hint: mend it)\nline"
    assert with_hint("it broke", "mend it") == "it broke (hint: mend it)"
    assert with_hint("it broke\nline", None) == "it broke\nline"


@pytest.mark.parametrize(
    ("argv", "title"),
    [
        (UV_INSTALL, "uv pip install"),
        (UV_BUILD, "uv build"),
        (("/venv/bin/python", "-I", "-m", "pip", "wheel", "x"), "pip wheel"),
        (VERIFY, "verify_imports"),
        (("/usr/bin/python3", "-I", "-m", "venv", "/venvs/a"), "venv"),
    ],
)
def test_command_is_named_as_a_person_would(argv: tuple[str, ...], title: str) -> None:
    assert command_title(argv) == title


class TestSample:
    def test_last_lines_are_kept_and_errors_before_them(self) -> None:
        sample = Sample()
        sample.add(["compiling", "x.c:1:1: fatal error: y.h: No such file", "stopped"])
        for number in range(100):
            sample.add([f"line {number}", f"more {number}"])
        assert sample.lines()[0] == "x.c:1:1: fatal error: y.h: No such file"
        assert list(sample.lines()[1:]) == sample.tail()
        assert len(sample.tail()) == TAIL_LINES
        assert sample.tail()[-1] == "more 99"

    def test_no_line_is_kept_twice(self) -> None:
        sample = Sample()
        sample.add(["error: one", "error: two"])
        assert sample.lines() == ("error: one", "error: two")

    def test_first_and_last_errors_are_kept_of_many(self) -> None:
        sample = Sample()
        sample.add([f"error {number}" for number in range(10_000)])
        sample.add(["end"] * TAIL_LINES)
        kept = sample.lines()
        assert (kept[0], kept[-TAIL_LINES - 1]) == ("error 0", "error 9999")
        assert len(kept) == 3 * TAIL_LINES

    def test_long_lines_are_cut(self) -> None:
        sample = Sample()
        sample.add(["error " + "x" * 60_000, "y" * 60_000])
        assert max(map(len, sample.lines())) == 2000


def test_quotes_are_all_used() -> None:
    assert {rule.quote for rule in RULES} == set(Quote)
