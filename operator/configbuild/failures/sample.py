"""Which lines of a command's output are kept to be judged, however much it writes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

TAIL_LINES = 20  # what a person needs of a failed install; pip's last words are some ten lines

# Of lines that look like errors: the first, which often cause the others, and the last.
_FIRST_MARKED = 20
_LAST_MARKED = 20

# A traceback or a compiler's message in one line; longer lines are data. Bounds what is kept.
_LINE_CHARACTERS = 2000


class Sample:
    """Keeps the last lines, and some before them that look like errors.

    A compiler's one telling line may be followed by hundreds of others. Memory is bounded; a block
    of lines without a mark in it costs one search for each mark.
    """

    def __init__(self) -> None:
        self._count = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._first: list[tuple[int, str]] = []
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST_MARKED)

    def add(self, texts: Sequence[str]) -> None:
        """Take the next lines."""
        block = "\n".join(texts)
        if _is_marked(block):
            self._keep_marked(texts)
        self._count += len(texts)
        self._tail.extend(texts[-TAIL_LINES:])

    def tail(self) -> list[str]:
        """Give the last lines."""
        return list(self._tail)

    def lines(self) -> tuple[str, ...]:
        """Give all lines that were kept, each once, in their order, cut to a bounded length."""
        kept = dict([*self._first, *self._last])
        begin = self._count - len(self._tail)
        kept.update(enumerate(self._tail, begin))
        return tuple(kept[number][:_LINE_CHARACTERS] for number in sorted(kept))

    def _keep_marked(self, texts: Sequence[str]) -> None:
        marked = [
            (number, text) for number, text in enumerate(texts, self._count) if _is_marked(text)
        ]
        for number, text in marked:
            entry = (number, text[:_LINE_CHARACTERS])
            if len(self._first) < _FIRST_MARKED:
                self._first.append(entry)
            else:
                self._last.append(entry)


def _is_marked(text: str) -> bool:
    """Tell whether a text holds what lines hold that say why.

    Four marks, since each is one pass over all that is written (0.05 s for a million lines):
    "error:", "Error" and "fatal error" have one in common; so have "cannot find", "Cannot allocate
    memory" and "cannot create". Not ``any``, which takes three times as long.
    """
    return "rror" in text or "RROR" in text or "annot " in text or "not found" in text
