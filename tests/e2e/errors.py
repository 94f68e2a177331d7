"""What ends the program: with a message for people, and a code that is not 0."""

from __future__ import annotations


class E2eError(Exception):
    """The machine lacks something, a part did not start, or something is not as it should be."""


class MachineError(E2eError):
    """The machine does not let us run a node; nothing is wrong with the operator."""


def expect(fact: object, what: str) -> None:
    """Hold the operator to what is said of it.

    Raises:
        E2eError: it is not so.
    """
    if not fact:
        raise E2eError(f"this should be so and is not: {what}")
