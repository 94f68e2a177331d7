"""Benchmarks: ``python -m tests.bench [NAME…]``, with ``operator`` on the path or installed.

Machines differ and are seldom quiet, so each compares with a baseline that does the same work in
the same run, turn by turn. What a benchmark measures, it also checks: counts and SHA-256. README.md
says what each figure is.
"""
