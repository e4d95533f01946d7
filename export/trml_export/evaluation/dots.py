"""Draw a row for each method: its gain over the learned constant, with the interval, sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trml_export.evaluation.intervals import LEVEL, over_seeds
from trml_export.evaluation.metrics import METRIC_TITLES, main_metric
from trml_export.evaluation.paired import REFERENCE, cases_of, gains
from trml_export.evaluation.record import Evaluation
from trml_export.plots.picture import COLOURS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["dots"]

# The cases of the table, but for "random 0.3": it lies between the others, and width is scarce.
_PANELS = {
    "text + video": "both inputs",
    "text": "text alone",
    "video": "video alone",
    "random 0.5": "one, at random",
    "as it is": "as it is",
}
_APART, _WITHIN = COLOURS[0], COLOURS[7]


def dots(evaluation: Evaluation, completeness: float, title: str) -> dict[str, bytes]:
    """Return a panel for each presence case, with a row for each method, the best on top.

    A dot is the mean over seeds, a line its interval by Student's t, a small mark one seed. The
    rows are sorted by the mean over the panels. Without a learned constant, or with nothing
    beside it, the metric itself is drawn.

    Args:
        evaluation: of two methods or more.
        completeness: the share of complete training samples.
        title: lines above the panels.
    """
    cases = {t: c for t, c in cases_of(evaluation).items() if t in _PANELS}
    over_constant = REFERENCE in evaluation.methods
    rows = {
        method: [_values(evaluation, completeness, method, case) for case in cases.values()]
        for method in evaluation.methods
        if not (over_constant and method == REFERENCE)
    }
    falling = not over_constant and main_metric(evaluation.config) == "mae"
    order = sorted(rows, key=lambda m: np.mean([np.mean(v) for v in rows[m]]), reverse=falling)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(cases), sharex=True, sharey=True, squeeze=False)[0]
        for number, (axes, words) in enumerate(zip(panels, cases, strict=True)):
            _panel(axes, [rows[method][number] for method in order], over_constant)
            axes.set_title(_panel_title(evaluation, completeness, words, cases[words]))
        panels[0].set_yticks(range(len(order)), [evaluation.title(method) for method in order])
        panels[0].set_ylim(-0.7, len(order) - 0.3)
        _legend(figure, evaluation, over_constant)

    return draw(paint, title, 1.9 + 0.17 * len(order))


def _values(evaluation: Evaluation, completeness: float, method: str, case: str) -> list[float]:
    """Return what a row shows of one case, a number a seed."""
    if REFERENCE in evaluation.methods:
        return gains(evaluation, completeness, method, case)
    metric = main_metric(evaluation.config)
    return evaluation.values(method, completeness, case, metric)


def _panel(axes: Axes, rows: list[list[float]], over_constant: bool) -> None:
    """Draw the rows of one case, the first at the bottom."""
    if over_constant:
        axes.axvline(0, color="black", linewidth=0.8)
    for height, values in enumerate(rows):
        if not values:
            continue
        ends = over_seeds(values)
        apart = over_constant and ends is not None and not ends[0] <= 0 <= ends[1]
        colour = _APART if apart else _WITHIN
        if ends is not None:
            axes.hlines(height, *ends, color=colour, linewidth=1.3)
            axes.plot(values, [height] * len(values), "|", color="black", markersize=4, alpha=0.5)
        fill = colour if apart else "white"
        axes.plot(
            [np.mean(values)], [height], "o", color=colour, markerfacecolor=fill, markersize=4.5
        )
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", length=0, labelsize=7)
    axes.locator_params(axis="x", nbins=4)


def _panel_title(evaluation: Evaluation, completeness: float, words: str, case: str) -> str:
    """Return the presence case, what the constant reaches in it, and its floors."""
    metric = main_metric(evaluation.config)
    lines = [_PANELS[words]]
    if statistic := evaluation.statistic(REFERENCE, completeness, case, metric):
        lines.append(f"constant {statistic.mean:.3f}")
    for name, floor in evaluation.floors.items():
        part = floor["as_is" if case == "as_is" else "complete"]
        lines.append(f"{name.replace('_', ' ')} {part[metric]:.3f}")
    return "\n".join(lines)


def _legend(figure: Figure, evaluation: Evaluation, over_constant: bool) -> None:
    """Say below the panels what is drawn."""
    from matplotlib.lines import Line2D

    metric = METRIC_TITLES[main_metric(evaluation.config)]
    falling = metric == "MAE" and not over_constant
    what = f"gain in {metric} over the learned constant" if over_constant else metric
    words = f"{what} ({'left' if falling else 'right'} is better)"

    def entry(label: str, marker: str, **style: Any) -> Line2D:
        return Line2D([], [], marker=marker, markersize=4.5, label=label, **style)

    seeds = f"mean and {LEVEL:.0%} interval over seeds"
    handles = [entry(seeds, "o", color=_WITHIN, markerfacecolor="white")]
    if over_constant:
        handles = [
            entry(f"{seeds}, 0 outside", "o", color=_APART),
            entry("0 inside: no difference shown", "o", color=_WITHIN, markerfacecolor="white"),
        ]
    handles.append(entry("one seed", "|", color="black", alpha=0.5, linestyle=""))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, title=words)
