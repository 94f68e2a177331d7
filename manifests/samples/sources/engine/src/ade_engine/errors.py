"""What can go wrong.

::

    EngineError
    ├── RulesError    the config package is missing or wrong: its author has to act
    ├── InputError    the spreadsheet cannot be read by these rules: its sender has to act
    └── OutputError   the result cannot be written: who called has to act

A row that breaks a rule is neither: it is a :class:`~ade_engine.normalise.Problem`.
"""


class EngineError(Exception):
    """Base of the engine's errors; the text is for people."""


class RulesError(EngineError):
    """The installed config package is missing or wrong."""


class InputError(EngineError):
    """The spreadsheet is no workbook, or lacks a sheet or a column that the rules need."""


class OutputError(EngineError):
    """The output cannot be written where it was asked for."""
