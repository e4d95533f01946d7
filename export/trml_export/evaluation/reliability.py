"""Hold what a model says of itself against what was true: confidence, or the score itself.

Of classes, rows are put into ten bins by the chance of the chosen class, and each bin's mean chance
stands beside its share of right answers (Guo et al. 2017). Of scores, the bins part the range of
the score, and the mean score stands beside the mean target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trml_export.config import Config
from trml_export.evaluation.rows import CASES, csv_text
from trml_export.plots.picture import COLOURS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bin", "reliability", "reliability_csv", "reliability_picture"]

_BINS = 10
_TITLES = {"text_video": "both inputs", "text": "text alone", "video": "video alone"}


@dataclass(frozen=True)
class Bin:
    """Rows of a presence case whose answers lie between two ends.

    `said` is the mean of what the model says, and `true` the mean of what was true.
    """

    case: str
    low: float
    high: float
    rows: int
    said: float
    true: float


def reliability(records: Sequence[dict[str, Any]], config: Config) -> list[Bin]:
    """Return the bins that hold rows, by case and from the lowest on.

    Args:
        records: from `rows.row_answers`.
        config: the task. A score out of its range counts to the nearest end, as the runtime clips.
    """
    low, high = _range(config)
    edges = np.linspace(low, high, _BINS + 1)
    bins = []
    for case in CASES:
        rows = [record for record in records if record["case"] == case]
        said = np.clip([record["score"] for record in rows], low, high)
        true = np.array([_truth(record) for record in rows])
        places = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, _BINS - 1)
        for place in np.unique(places):
            inside = places == place
            ends = float(edges[place]), float(edges[place + 1])
            means = float(said[inside].mean()), float(true[inside].mean())
            bins.append(Bin(case, *ends, int(inside.sum()), *means))
    return bins


def _range(config: Config) -> tuple[float, float]:
    return config.score_range if config.task == "regression" else (0.0, 1.0)


def _truth(record: dict[str, Any]) -> float:
    if record["target"] is not None:
        return float(record["target"])
    return float(record["true"] == record["chosen"])


def reliability_csv(bins: Sequence[Bin]) -> str:
    """Return a line for each bin."""
    head = ["case", "from", "to", "rows", "said", "true"]
    return csv_text([head, *([b.case, b.low, b.high, b.rows, b.said, b.true] for b in bins)])


def reliability_picture(bins: Sequence[Bin], config: Config, title: str) -> dict[str, bytes]:
    """Return a panel for each case: what was true against what was said, and the rows below.

    Args:
        bins: from `reliability`, of one row or more.
        config: the task.
        title: lines above the panels.
    """
    cases = [case for case in CASES if any(each.case == case for each in bins)]

    def paint(figure: Figure) -> None:
        grid = figure.subplots(
            *(2, len(cases)), sharex=True, sharey="row", squeeze=False, height_ratios=(4, 1)
        )
        for column, case in enumerate(cases):
            of_case = [each for each in bins if each.case == case]
            _panel(grid[0][column], of_case, config)
            _bars(grid[1][column], of_case)
        for axes, words in zip(grid[:, 0], _sides(config), strict=True):
            axes.set_ylabel(words)

    return draw(paint, title, 3.6)


def _sides(config: Config) -> Iterator[str]:
    """Yield what the two rows of panels show upwards."""
    yield "mean target" if config.task == "regression" else "share of right answers"
    yield "rows"


def _panel(axes: Axes, bins: Sequence[Bin], config: Config) -> None:
    low, high = _range(config)
    axes.plot([low, high], [low, high], color="black", linewidth=0.8, linestyle=":")
    axes.plot(
        [each.said for each in bins],
        [each.true for each in bins],
        color=COLOURS[0],
        marker="o",
        markersize=4,
        linewidth=1.2,
    )
    rows = sum(each.rows for each in bins)
    error = sum(each.rows * abs(each.said - each.true) for each in bins) / rows
    axes.set_title(f"{_TITLES[bins[0].case]}\n{error:.3f} from the diagonal on average")


def _bars(axes: Axes, bins: Sequence[Bin]) -> None:
    middles = [(each.low + each.high) / 2 for each in bins]
    axes.bar(
        middles,
        [each.rows for each in bins],
        bins[0].high - bins[0].low,
        color=COLOURS[0],
        alpha=0.5,
    )
    axes.set_xlabel("what the model says")
