"""Which steps of a build are still to come, as far as one can tell. Pure."""

from __future__ import annotations

from collections.abc import Collection

from configbuild.model import Step


def steps_to_come(known: Collection[Step]) -> list[Step]:
    """List the steps after the last of those that are ``known`` to have begun.

    One that was passed over does not come any more. Before the first, nobody can tell whether
    something is fetched: that is only where the config's source is remote.
    """
    names = list(Step)
    reached = max((names.index(name) for name in known), default=names.index(Step.FETCH_CONFIG))
    return names[reached + 1 :]
