"""How many rows pay to run together on this device, by what groups took while it serves.

A measurement at the start would tell of the load at that moment, and of texts that nobody sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import fmean

from trml_rt.bundle.manifest import Manifest
from trml_rt.serve.lane import Kind

__all__ = ["Costs", "limits_of"]

_KEPT = 20  # times of one size of group; the oldest gives way
_FEW = 3  # times that are no ground to prefer a size
_TRY = 16  # groups of a kind, of which one tries a size in turn


def limits_of(manifest: Manifest, most: int) -> Callable[[Kind], int]:
    """Return how many rows of a kind the engines take together, at most `most`."""

    def limit(kind: Kind) -> int:
        _, frames = kind
        rows = min(most, manifest.axes.batch.max)
        return max(1, min(rows, manifest.axes.frames.max // frames)) if frames else rows

    return limit


class _Kind:
    """The seconds of a row in groups of 1, 2, 4 and so on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.seconds: dict[int, deque[float]] = {}
        size = 1
        while size <= limit:
            self.seconds[size] = deque(maxlen=_KEPT)
            size *= 2
        self.groups = 0

    @property
    def best(self) -> int:
        """The size in which a row takes the least time; the limit, where too little is known."""
        known = {size: fmean(each) for size, each in self.seconds.items() if len(each) >= _FEW}
        best = min(known, key=known.__getitem__, default=self.limit)
        return self.limit if len(known) < 2 or 2 * best > self.limit else best


class Costs:
    """What groups took, and how large the next one may be.

    Args:
        limit: the most rows of a kind that may run together.
    """

    def __init__(self, limit: Callable[[Kind], int]) -> None:
        self._limit = limit
        self._kinds: dict[Kind, _Kind] = {}

    def most(self, kind: Kind) -> int:
        """Return how many rows of a kind may run together now.

        That is the size in which a row takes the least time. Now and then it is another size, so
        that what changes is noticed.
        """
        known = self._kinds.setdefault(kind, _Kind(self._limit(kind)))
        known.groups += 1
        turn, rest = divmod(known.groups, _TRY)
        sizes = [*known.seconds]
        return known.best if rest else sizes[turn % len(sizes)]

    def add(self, kind: Kind, rows: int, seconds: float) -> None:
        """Note that a group of so many rows took so long."""
        known = self._kinds.setdefault(kind, _Kind(self._limit(kind)))
        size = 1 << (min(rows, known.limit).bit_length() - 1)
        known.seconds[size].append(seconds / rows)
