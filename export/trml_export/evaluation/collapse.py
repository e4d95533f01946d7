"""Say in a sentence where a model collapsed: at its floor, below one input alone, below a control.

What counts is how far a metric gets from its floor, which needs no input, towards a perfect one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trml_export.config import Config
from trml_export.evaluation.metrics import METRIC_TITLES, main_metric, measure
from trml_export.evaluation.predictions import Predictions
from trml_export.evaluation.scoring import floors, truth_of
from trml_export.features.features import Features

if TYPE_CHECKING:
    from trml_export.evaluation.record import Evaluation

__all__ = ["best_floor", "case_remarks", "case_values", "control_remarks", "model_remarks"]

_NEAR = 0.05  # of the way from the floor to a perfect answer
_FAR = 2 / 3  # of the way that something simpler gets
_CASES = {
    "both inputs": "random_0.0",
    "text alone": "video_missing_1.0",
    "video alone": "text_missing_1.0",
}


def model_remarks(
    predictions: Predictions, features: Features, train: Features, config: Config
) -> list[str]:
    """Return what is wrong with the presence cases of one model, each on the rows that allow it.

    Args:
        predictions: of the rows of `features`.
        features: of the split valid.
        train: the floors learn from its targets.
        config: the task.
    """
    metric = main_metric(config)
    values = case_values(predictions, features, config)
    lowest = {}
    for title in values:
        answers = floors(truth_of(train), features.take(_rows_of(title, features)), config)
        of_all = [answer["as_is"][metric] for answer in answers.values()]
        lowest[title] = best_floor(of_all, metric)
    return list(case_remarks(values, lowest, metric))


def case_values(predictions: Predictions, features: Features, config: Config) -> dict[str, float]:
    """Return the main metric of each presence case, on the rows that allow it, by its title."""
    metric, truth = main_metric(config), truth_of(features)
    by_case = {
        "both inputs": predictions.both,
        "text alone": predictions.text,
        "video alone": predictions.video,
    }
    values = {}
    for title, predicted in by_case.items():
        rows = _rows_of(title, features)
        if len(rows):
            values[title] = measure(config, truth[rows], predicted[rows])[metric]
    return values


def _rows_of(title: str, features: Features) -> NDArray[np.int64]:
    """Return the rows that have the inputs of a case."""
    has = {
        "both inputs": features.has_text & features.has_video,
        "text alone": features.has_text,
        "video alone": features.has_video,
    }
    return np.flatnonzero(has[title])


def case_remarks(
    values: Mapping[str, float], lowest: Mapping[str, float], metric: str
) -> Iterator[str]:
    """Yield a sentence for each case near its floor, and for both inputs far below one alone.

    `values` and `lowest` hold the metric and its floor by case, as "both inputs" or "text alone".
    """
    ways = {title: _way(values[title], lowest[title], metric) for title in values}
    name = METRIC_TITLES[metric]
    for title, way in ways.items():
        if not way >= _NEAR:  # NaN is no way either
            yield (
                f"{title}: {name} {values[title]:.3f} is near its floor {lowest[title]:.3f}, "
                "which needs no input"
            )
    alone = {title: way for title, way in ways.items() if title != "both inputs"}
    if "both inputs" in ways and alone:
        better = max(alone, key=lambda title: alone[title])
        if alone[better] >= _NEAR and ways["both inputs"] < _FAR * alone[better]:
            yield (
                f"both inputs: {name} {values['both inputs']:.3f} is far below {better} "
                f"({values[better]:.3f}); a second input should not cost anything"
            )


def control_remarks(evaluation: Evaluation, completeness: float) -> list[str]:
    """Return the remarks on every method of an evaluation, also against the best method a case."""
    metric = main_metric(evaluation.config)
    floor = [part["complete"][metric] for part in evaluation.floors.values() if "complete" in part]
    if not floor:
        return []
    lowest = best_floor(floor, metric)
    table: dict[str, dict[str, float]] = {}
    for method in evaluation.methods:
        means = {
            t: evaluation.statistic(method, completeness, c, metric) for t, c in _CASES.items()
        }
        table[method] = {title: each.mean for title, each in means.items() if each is not None}
    remarks = []
    for method, values in table.items():
        of_case = list(case_remarks(values, dict.fromkeys(values, lowest), metric))
        for title, value in values.items():
            rivals = {
                m: _way(row[title], lowest, metric) for m, row in table.items() if title in row
            }
            best = max(rivals, key=lambda m: rivals[m])
            if rivals[best] >= _NEAR and rivals[method] < _FAR * rivals[best]:
                of_case.append(
                    f"{title}: {METRIC_TITLES[metric]} {value:.3f} is far below "
                    f"{evaluation.title(best)} ({table[best][title]:.3f})"
                )
        remarks += [f"{evaluation.title(method)}, {remark}" for remark in of_case]
    return remarks


def best_floor(values: list[float], metric: str) -> float:
    """Return the best of several floors."""
    return min(values) if metric == "mae" else max(values)


def _way(value: float, floor: float, metric: str) -> float:
    """Return how far `value` is from the floor, 0, to a perfect metric, 1."""
    perfect = 0.0 if metric == "mae" else 1.0
    return (value - floor) / (perfect - floor) if perfect != floor else 1.0
