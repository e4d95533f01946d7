"""How long answers take on this device, so that a deadline can be kept."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque

from trml_rt.bundle.modality import Modality

__all__ = ["Times"]

_KEPT = 20  # times of one kind; the oldest gives way
_TRIES = 20  # one in so many that would be late is tried, or times would never be seen to shrink


class Times:
    """Milliseconds of answers, by what was present and how many frames were new."""

    def __init__(self) -> None:
        self._ms: defaultdict[tuple[Modality, int], deque[float]] = defaultdict(
            lambda: deque(maxlen=_KEPT)
        )
        self._refused = 0

    def add(self, present: Modality, new: int, ms: float) -> None:
        """Note that an answer on `new` new frames took so many milliseconds."""
        self._ms[present, new].append(ms)

    def fits(self, present: Modality, new: int, budget: float) -> bool:
        """Say whether such an answer is expected within `budget` milliseconds.

        What was never timed is tried.
        """
        known = self._ms.get((present, new))
        if not known or statistics.median(known) <= budget:
            self._refused = 0
            return True
        self._refused = (self._refused + 1) % _TRIES
        return not self._refused
