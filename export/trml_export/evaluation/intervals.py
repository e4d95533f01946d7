"""Give intervals: by the bootstrap over rows for one model, by Student's t over seeds for many."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trml_export.config import Config

__all__ = ["LEVEL", "bootstrap", "macro_f1", "over_seeds"]

LEVEL = 0.95
_DRAWS = 1000


def bootstrap(
    config: Config, truth: NDArray[np.generic], prediction: NDArray[np.floating]
) -> list[float]:
    """Return the ends of the interval of the main metric, over rows drawn anew.

    Args:
        config: the task.
        truth: targets (rows,): scores, or class numbers.
        prediction: (rows, outputs).
    """
    rng = np.random.default_rng(0)
    rows = len(truth)
    if config.task == "regression":
        errors = np.abs(prediction[:, 0].astype(float) - truth.astype(float))
        drawn = np.array([errors[rng.integers(rows, size=rows)].mean() for _ in range(_DRAWS)])
    else:
        classes = len(config.labels)
        cells = np.bincount(
            truth.astype(int) * classes + prediction.argmax(axis=1), minlength=classes**2
        )
        # Rows of one cell are alike, so drawing rows is drawing how many fall into each cell.
        tables = rng.multinomial(rows, cells / rows, size=_DRAWS)
        drawn = macro_f1(tables.reshape(_DRAWS, classes, classes))
    tail = 50 * (1 - LEVEL)
    return [float(end) for end in np.percentile(drawn, (tail, 100 - tail))]


def macro_f1(tables: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the macro F1 of confusion tables (tables, true class, chosen class).

    A label that is neither true nor chosen has no part in it, as in `metrics`.
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)
    named = tables.sum(axis=1) + tables.sum(axis=2)
    each = 2 * hits / np.maximum(named, 1)
    counted = named > 0
    return np.asarray((each * counted).sum(axis=1) / counted.sum(axis=1))


def over_seeds(values: list[float]) -> tuple[float, float] | None:
    """Return the ends of the interval of a mean over seeds; None for one seed or a NaN."""
    if len(values) < 2 or any(math.isnan(value) for value in values):
        return None
    reach = stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * stats.sem(values)
    mean = float(np.mean(values))
    return mean - float(reach), mean + float(reach)
