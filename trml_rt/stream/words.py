"""The texts of a stream, on a clock of their own: which of them counts at a moment."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from trml_rt.answer import Reason
from trml_rt.stream.answer import State
from trml_rt.stream.model import ReadText

__all__ = ["MOST", "Spoken", "Words"]

MOST = 65536
"""How many texts may wait for their time."""


@dataclass
class Spoken:
    """A text, and when it was said, in media time."""

    text: str
    start: float
    end: float
    arrived: float
    stamped: bool
    """It had no time of its own, so it has that of its arrival."""
    answered: bool = False
    read: ReadText | None = None


class Words:
    """Holds the texts that may still count; each replaces those before it.

    Args:
        hold: how long a text counts after its end, in seconds.
        offset: added to the times of texts, in seconds.
    """

    def __init__(self, hold: float, offset: float) -> None:
        self._hold, self._offset = hold, offset
        self._texts: deque[Spoken] = deque()
        self._began = False  # the time of some text has come
        self.ended = False
        """No further text comes."""

    @property
    def full(self) -> bool:
        """Whether no further text may wait."""
        return len(self._texts) >= MOST

    def add(self, spoken: Spoken) -> None:
        """Add a text; one that comes late goes where it belongs in time."""
        spoken.start += self._offset
        spoken.end += self._offset
        place = len(self._texts)
        while place and self._texts[place - 1].start > spoken.start:
            place -= 1
        self._texts.insert(place, spoken)

    def at(self, now: float) -> Spoken | None:
        """Return the text that counts at `now`: the last that began, unless that is long ago."""
        while len(self._texts) > 1 and self._texts[1].start <= now:
            self._texts.popleft()
        if not self._texts or self._texts[0].start > now:
            return None
        self._began = True
        return self._texts[0] if now <= self._texts[0].end + self._hold else None

    def unanswered(self, after: float) -> Spoken | None:
        """Return the first text that is in no answer and began, or came, after a time."""
        while len(self._texts) > 1 and self._texts[0].answered:
            self._texts.popleft()
        for spoken in self._texts:
            if not spoken.answered and (spoken.stamped or spoken.start > after):
                self._began = True
                return spoken
        return None

    def state_at(self, now: float) -> tuple[State | None, Reason]:
        """Return what texts do at `now`, and why one is missing if none counts."""
        if self.ended and not (self._texts and now <= self._texts[-1].end + self._hold):
            return ("ended", Reason.ENDED) if self._began else (None, Reason.NOT_GIVEN)
        return ("running", Reason.STALE) if self._began else (None, Reason.NOT_GIVEN)

    def shift(self, seconds: float) -> None:
        """Move the texts that had no time of their own, where media time jumps."""
        for spoken in self._texts:
            if spoken.stamped:
                spoken.start += seconds
                spoken.end += seconds
        self._texts = deque(sorted(self._texts, key=lambda each: each.start))
