"""The sum of frames: what was seen is answered, dropped for a cause, or still waits."""

from __future__ import annotations

import threading
from collections import Counter

from trml_rt.stream.answer import CAUSES, Totals

__all__ = ["Accounts"]


class Accounts:
    """Counts frames; each is seen once, and then answered or dropped once. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = self._answered = self._refused_texts = 0
        self._dropped: Counter[str] = Counter()

    def see(self, count: int = 1) -> int:
        """Count frames that came; return the number of the first of them."""
        with self._lock:
            self._seen += count
            return self._seen - count

    def answer(self, count: int) -> None:
        """Count frames that are in an answer for the first time."""
        with self._lock:
            self._answered += count

    def drop(self, cause: str, count: int = 1) -> None:
        """Count frames that will be in no answer; `cause` is one of `CAUSES`."""
        assert cause in CAUSES, cause
        if count:
            with self._lock:
                self._dropped[cause] += count

    def refuse_text(self) -> None:
        """Count a text that cannot be read."""
        with self._lock:
            self._refused_texts += 1

    def totals(self) -> Totals:
        """Return the sums as they stand."""
        with self._lock:
            waiting = self._seen - self._answered - self._dropped.total()
            dropped = {cause: self._dropped[cause] for cause in CAUSES if self._dropped[cause]}
            return Totals(self._seen, self._answered, waiting, dropped, self._refused_texts)
