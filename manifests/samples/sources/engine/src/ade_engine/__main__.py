"""Normalise a spreadsheet by the rules of the installed config package.

Records go to the output, the summary to standard error. Exit codes: 0 done; 1 the config package is
missing or wrong, or the output cannot be written; 2 the input cannot be read by the rules; 3 rows
with problems, with --strict.
"""

from __future__ import annotations

import argparse
import io
import sys
from importlib.metadata import version
from pathlib import Path

from ade_engine.errors import EngineError, InputError, OutputError
from ade_engine.normalise import Result, normalise
from ade_engine.rules import Rules, load_rules
from ade_engine.sheet import read_rows
from ade_engine.write import FORMATS, write

FAILED = 1
BAD_INPUT = 2
BAD_ROWS = 3


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, InputError) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ade_engine", description=__doc__)
    parser.add_argument("--version", action="version", version=version("ade-engine"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="normalise a spreadsheet")
    run.add_argument("--input", type=Path, required=True, metavar="FILE.xlsx")
    run.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    run.add_argument("--format", choices=FORMATS, default="csv", help="default: csv")
    run.add_argument("--strict", action="store_true", help="exit with 3 if a row has a problem")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    rules = load_rules()
    rows = read_rows(arguments.input, rules)
    result = normalise(rows, rules)
    text = io.StringIO()
    write(
        result.records,
        text,
        fields=[column.field for column in rules.columns],
        form=arguments.format,
    )
    # Only now, and whole: whatever was wrong so far leaves an earlier output as it was.
    _deliver(text.getvalue().encode(), arguments.output)
    print(summary(arguments.input.name, len(rows), result, rules), file=sys.stderr)
    return BAD_ROWS if arguments.strict and result.problems else 0


def _deliver(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror}") from error


def summary(name: str, rows: int, result: Result, rules: Rules) -> str:
    """Say what became of the rows, for people: one line, then one for each problem."""
    head = (
        f"{rules.title}: {rows} rows in {name}, "
        f"{len(result.records)} written, {result.bad_rows} with problems"
    )
    return "\n".join([head, *(f"  row {p.row}: {p.message}" for p in result.problems)])


if __name__ == "__main__":
    sys.exit(main())
