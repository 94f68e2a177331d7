"""The journal of a build: an append-only NDJSON file that holds all its events, in order.

What happens is written here before anybody sees it: readers get what is in the file, and those who
follow a build live read the file as it grows.

* ``writer``: appends; assigns ids and times.
* ``offsets``: where lines and cursors are in the file.
* ``recovery``: how far a journal can be trusted after a crash; makes it whole again.
* ``reader``: reads events, and what tells how a build stands.
* ``limit``: leaves out the middle of what outgrows its limit.
* ``progress``: how far a journal is written, told to those who follow it.
* ``follow``: what there is, then what comes.
* ``audience``: hands what comes to all who have what there is, read once.
* ``directory``: all journals, and which of them are live.
"""

from configbuild.journal.directory import Journals
from configbuild.journal.reader import JournalSummary
from configbuild.journal.writer import JournalWriter

__all__ = ["JournalSummary", "JournalWriter", "Journals"]
