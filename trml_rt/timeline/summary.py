"""What follows from all rows: means weighted by time, the largest swings, the shares of time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from trml_rt.answer import label_of
from trml_rt.bundle.manifest import Task
from trml_rt.timeline.result import Period, Swing, TimelineRow

__all__ = ["mean_of", "periods_of", "shares_of", "swings_of"]

_PERIODS = 4
_SWINGS = 5


def mean_of(rows: Sequence[TimelineRow], start: float, end: float, task: Task) -> Period:
    """Return the mean of the rows between `start` and `end`, in seconds, weighted by their time."""
    weighed = [
        (weight, row)
        for row in rows
        if row.score is not None and (weight := min(row.end, end) - max(row.start, start)) > 0
    ]
    total = sum(weight for weight, _ in weighed)
    if not weighed:
        return Period(start, end, None, None, None)
    if task.kind == "regression":
        score = sum(weight * (row.score or 0.0) for weight, row in weighed) / total
        return Period(start, end, score, label_of(score, task), None)
    named = {
        name: sum(weight * (row.probabilities or {})[name] for weight, row in weighed) / total
        for name in task.labels
    }
    best = max(named, key=named.__getitem__)
    return Period(start, end, named[best], best, named)


def periods_of(rows: Sequence[TimelineRow], task: Task) -> tuple[Period, ...]:
    """Return the mean of each quarter of the time that `rows` span."""
    end = rows[-1].end
    bounds = [end * number / _PERIODS for number in range(_PERIODS + 1)]
    return tuple(mean_of(rows, start, after, task) for start, after in itertools.pairwise(bounds))


def swings_of(rows: Sequence[TimelineRow]) -> tuple[Swing, ...]:
    """Return the largest changes from one answer to the next."""
    answered = [row for row in rows if row.score is not None]
    swings = [
        Swing(
            t=after.start,
            change=_change(before, after),
            labels=(before.label or "", after.label or ""),
            presence=(before.presence, after.presence),
        )
        for before, after in itertools.pairwise(answered)
    ]
    swings.sort(key=lambda swing: -abs(swing.change))
    return tuple(swing for swing in swings[:_SWINGS] if swing.change)


def shares_of(rows: Sequence[TimelineRow]) -> dict[str, float]:
    """Return the share of time of each presence, by its name."""
    spent: dict[str, float] = {}
    for row in rows:
        spent[row.presence] = spent.get(row.presence, 0.0) + row.end - row.start
    total = sum(spent.values())
    return {name: seconds / total if total else 0.0 for name, seconds in sorted(spent.items())}


def _change(before: TimelineRow, after: TimelineRow) -> float:
    if before.probabilities is None or after.probabilities is None:
        return (after.score or 0.0) - (before.score or 0.0)
    moved = (abs(p - before.probabilities[name]) for name, p in after.probabilities.items())
    return sum(moved) / 2
