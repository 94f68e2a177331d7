"""Reads a spreadsheet through the column rules of the installed config package ``ade_config``.

In the order in which a cell passes through them: :mod:`~ade_engine.rules` (what the config package
asks for), :mod:`~ade_engine.sheet` (which cell belongs to which field), :mod:`~ade_engine.values`
(what a cell means), :mod:`~ade_engine.normalise` (a row as a whole), :mod:`~ade_engine.write`.
"""
