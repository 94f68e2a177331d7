"""From a failed command to what its author should read: a reason, one telling line, a hint. Pure.

* ``ending``: what is known of a command that failed, and what is made of it.
* ``table``: the rules, one after the other: what real tools write, and what it means.
* ``classify``: applies them.
* ``wording``: how a command and a line of its output are told.
* ``disk``: a full disk, as the operator itself meets it.
* ``sample``: which lines of a long output are kept to be judged.
"""

from configbuild.failures.classify import classify
from configbuild.failures.disk import DISK_FULL, is_disk_full
from configbuild.failures.ending import Ending, Failure
from configbuild.failures.sample import Sample
from configbuild.failures.table import TRANSIENT
from configbuild.failures.wording import command_title, last_words, with_hint

__all__ = [
    "DISK_FULL",
    "TRANSIENT",
    "Ending",
    "Failure",
    "Sample",
    "classify",
    "command_title",
    "is_disk_full",
    "last_words",
    "with_hint",
]
