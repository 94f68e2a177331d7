"""What is not as it should be though builds can be made: told in the log, and at ``/readyz``."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Notices:
    """What there is to warn of now, one text for each subject.

    The log tells each once when it begins, and once when it is over.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def begin(self, subject: str, text: str) -> None:
        """Warn of something; a later text for the same subject replaces it, and is not logged."""
        if subject not in self._texts:
            logger.warning("%s", text)
        self._texts[subject] = text

    def end(self, subject: str, text: str) -> None:
        """Warn of it no more; ``text`` says what is so again, if it was warned of."""
        if self._texts.pop(subject, None) is not None:
            logger.info("%s", text)

    def texts(self) -> list[str]:
        """Give what there is to warn of, in the order in which it began."""
        return list(self._texts.values())
