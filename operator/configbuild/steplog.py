"""The output of one step's commands on its way into the journal."""

from __future__ import annotations

from configbuild.events import LogLineEncoder
from configbuild.failures import Sample
from configbuild.journal import JournalWriter
from configbuild.lines import MAX_LINE_BYTES, Lines, LineSplitter
from configbuild.model import Step, Stream
from configbuild.redaction import Redactor


class StepLog:
    """Takes what the commands of a step write, as it is read, and puts it into the journal.

    An :class:`~configbuild.output.OutputSink`: fed by the thread that reads the pipes. Raises
    :class:`~configbuild.errors.JournalError` if the journal cannot be written, which ends the
    command: a build whose log is lost must not go on as if nothing were.
    """

    def __init__(
        self,
        journal: JournalWriter,
        *,
        step: Step,
        redactor: Redactor,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._journal = journal
        self._splitters = {
            stream: LineSplitter(redactor, max_line_bytes=max_line_bytes) for stream in Stream
        }
        self._encoders = {
            stream: LogLineEncoder(build_id=journal.build_id, step=step, stream=stream)
            for stream in Stream
        }
        self._sample = Sample()

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Take the next bytes of a stream."""
        self._write(stream, self._splitters[stream].feed(chunk))

    def end(self, stream: Stream) -> None:
        """End a stream: what is left of it is its last line. The next command may begin."""
        self._write(stream, self._splitters[stream].finish())

    def tail(self) -> list[str]:
        """Give the last lines of both streams, redacted, in the order in which they were read."""
        return self._sample.tail()

    def sample(self) -> tuple[str, ...]:
        """Give the lines that tell why a command failed, if it did; redacted, in their order."""
        return self._sample.lines()

    def _write(self, stream: Stream, found: list[Lines]) -> None:
        for texts, _ in found:
            self._sample.add(texts)
        self._journal.append_lines(self._encoders[stream], found)
