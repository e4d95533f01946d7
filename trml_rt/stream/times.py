"""How long answers take on this device, so that a deadline can be kept."""

from __future__ import annotations

from collections import defaultdict, deque

from trml_rt.bundle.modality import Modality

__all__ = ["Times"]

_KEPT = 20  # times of one kind; the oldest gives way
_FEW = 3  # times that are no ground to refuse anything
_TRY = 20  # answers are refused, then one is tried: times would never be seen to shrink
_SELDOM = 640  # and at most so many, where the tries fail


class _Kind:
    """The times of one kind of answer, and how many were refused for them."""

    def __init__(self) -> None:
        self.ms: deque[float] = deque(maxlen=_KEPT)
        self.refused = 0
        self.wait = _TRY
        self.tried: float | None = None  # the budget of a try

    @property
    def expected(self) -> float:
        """What nearly every answer takes: all but one of those that are kept."""
        return sorted(self.ms)[-2]


class Times:
    """Milliseconds of answers, by what was present and how many frames were new."""

    def __init__(self) -> None:
        self._kinds: defaultdict[tuple[Modality, int], _Kind] = defaultdict(_Kind)

    def add(self, present: Modality, new: int, ms: float) -> None:
        """Note that an answer on `new` new frames took so many milliseconds."""
        kind = self._kinds[present, new]
        if kind.tried is not None:
            in_time = ms <= kind.tried
            kind.tried = None
            kind.wait = _TRY if in_time else min(2 * kind.wait, _SELDOM)
            if in_time:
                kind.ms.clear()  # the device has become faster
        kind.ms.append(ms)

    def fits(self, present: Modality, new: int, budget: float) -> bool:
        """Say whether such an answer is expected within `budget` milliseconds.

        What was hardly ever timed is tried, and so is one now and then that would be late.
        """
        kind = self._kinds[present, new]
        if len(kind.ms) < _FEW or kind.expected <= budget:
            kind.refused = 0
            return True
        kind.refused += 1
        if kind.refused <= kind.wait:
            return False
        kind.refused, kind.tried = 0, budget
        return True
