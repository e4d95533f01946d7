"""Draw the metric against the missing rate, one curve a method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trml_export.evaluation.intervals import LEVEL
from trml_export.evaluation.masks import CASES
from trml_export.evaluation.metrics import METRIC_TITLES, main_metric
from trml_export.evaluation.paired import REFERENCE
from trml_export.evaluation.record import Evaluation
from trml_export.plots.picture import COLOURS, DASHES, MARKERS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves"]

_PANELS = {
    "random": "either input missing\n(share of all inputs)",
    "video": "video missing\n(share of rows)",
    "text": "text missing\n(share of rows)",
}
_STEP = 0.15  # rates lie 0.1 apart where they were measured
_FAR = 1.0  # in heights of the curves; farther floors get an axis of their own
_FLOOR = {"linewidth": 1.2, "color": "black"}
_FLOOR_DASHES = ((0, (1, 2)), (0, (4, 3)))  # scores have two floors


def curves(evaluation: Evaluation, completeness: float, title: str) -> dict[str, bytes]:
    """Return three panels: either input missing, video missing, text missing.

    A line joins the means over seeds of rates that were measured one after the other, and no
    others. Every panel starts with the case in which nothing is missing. A band is a standard
    deviation over seeds, or the interval of the one model. The floors are lines, on an axis of
    their own where they lie far from the curves.

    Args:
        evaluation: of as many methods as there are colours, or fewer.
        completeness: the share of complete training samples.
        title: lines above the panels.
    """
    lines = {name: _points(evaluation, completeness, name) for name in evaluation.methods}
    floors = {
        name: parts["complete"][main_metric(evaluation.config)]
        for name, parts in evaluation.floors.items()
    }

    def paint(figure: Figure) -> None:
        values = [y for panels in lines.values() for _, ys, _, _ in panels.values() for y in ys]
        low, high = np.nanmin(values), np.nanmax(values)
        margin = _FAR * max(high - low, 1e-9)
        far = any(not low - margin <= floor <= high + margin for floor in floors.values())
        panels = _axes(figure, floors if far else {}, below=max(floors.values(), default=low) < low)
        for kind, axes in panels.items():
            _panel(axes, evaluation, {name: points[kind] for name, points in lines.items()})
            if not far:
                _draw_floors(axes, floors)
        _legend(figure, panels["random"], evaluation, floors)

    return draw(paint, title, 4.6)


_Points = tuple[list[float], list[float], list[float], list[float]]
"""Rates, means, and the lower and upper ends of the band; NaN where a line must break."""


def _points(evaluation: Evaluation, completeness: float, method: str) -> dict[str, _Points]:
    """Return the points of a method in each panel."""
    metric = main_metric(evaluation.config)
    panels = {}
    for kind in _PANELS:
        points: list[tuple[float, ...]] = []
        for case in CASES:
            if case.kind != kind and case.name != "random_0.0":
                continue
            statistic = evaluation.statistic(method, completeness, case.name, metric)
            if statistic is None:
                continue
            if points and case.rate - points[-1][0] > _STEP:
                points.append((math.nan,) * 4)  # nothing was measured in between
            low, high = _band(evaluation, completeness, method, case.name)
            points.append((case.rate, statistic.mean, low, high))
        rates, means, lows, highs = (list(column) for column in zip(*points, strict=True))
        panels[kind] = (rates, means, lows, highs)
    return panels


def _band(
    evaluation: Evaluation, completeness: float, method: str, case: str
) -> tuple[float, float]:
    """Return the ends of the band; NaN where there is one seed and no interval."""
    if ends := evaluation.interval(method, case):
        return ends
    metric = main_metric(evaluation.config)
    statistic = evaluation.statistic(method, completeness, case, metric)
    if statistic is None or statistic.deviation is None:
        return math.nan, math.nan
    return statistic.mean - statistic.deviation, statistic.mean + statistic.deviation


def _banded(evaluation: Evaluation) -> list[str]:
    """Return the methods with a band. Many bands on each other cannot be told apart."""
    chosen = [name for name in evaluation.methods if name in ("trml", REFERENCE)]
    return chosen or evaluation.methods[:1]


def _axes(figure: Figure, far_floors: dict[str, float], *, below: bool) -> dict[str, Axes]:
    """Return an axis a panel; where floors lie far, they are drawn on short ones of their own."""
    if not far_floors:
        row = figure.subplots(1, len(_PANELS), sharey=True)
        return dict(zip(_PANELS, row, strict=True))
    rows = figure.subplots(
        *(2, len(_PANELS)), sharex="col", sharey="row", height_ratios=(6, 1) if below else (1, 6)
    )
    curves_row, floors_row = rows if below else rows[::-1]
    low, high = min(far_floors.values()), max(far_floors.values())
    for axes in floors_row:
        _draw_floors(axes, far_floors)
        pad = max(high - low, 0.05 * abs(high), 1e-3)
        axes.set_ylim(low - pad, high + pad)
        axes.locator_params(axis="y", nbins=2)
    floors_row[0].set_ylabel("floor")
    return dict(zip(_PANELS, curves_row, strict=True))


def _draw_floors(axes: Axes, floors: dict[str, float]) -> None:
    for (name, floor), dashes in zip(floors.items(), _FLOOR_DASHES, strict=False):
        axes.axhline(floor, gid=f"floor_{name}", linestyle=dashes, **_FLOOR)


def _panel(axes: Axes, evaluation: Evaluation, lines: dict[str, _Points]) -> None:
    """Draw the methods of one panel, in the order of the legend."""
    banded = _banded(evaluation)
    for number, (method, (rates, means, lows, highs)) in enumerate(lines.items()):
        many = len(lines) > 1
        axes.plot(
            *(rates, means),
            color=COLOURS[number],
            marker=MARKERS[number],
            linestyle=DASHES[number],
            markersize=4,
            linewidth=1.8 if method == "trml" else 1.1,
            label=evaluation.title(method),
        )
        if method in banded and many:
            axes.fill_between(rates, lows, highs, color=COLOURS[number], alpha=0.15, linewidth=0)
        elif method in banded:
            axes.vlines(rates, lows, highs, color=COLOURS[number], linewidth=1.2)


def _legend(figure: Figure, first: Axes, evaluation: Evaluation, floors: dict[str, float]) -> None:
    """Name the axes, the methods, the bands and the floors, below the panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    metric = main_metric(evaluation.config)
    better = "lower" if metric == "mae" else "higher"
    first.set_ylabel(f"{METRIC_TITLES[metric]} ({better} is better)")
    for axes, words in zip(figure.axes[-len(_PANELS) :], _PANELS.values(), strict=True):
        axes.set_xlabel(words)
    handles: list[Any] = first.get_legend_handles_labels()[0]
    if len(evaluation.methods) == 1:
        if evaluation.interval(evaluation.methods[0], "random_0.0"):
            words = f"{LEVEL:.0%} interval, bootstrap over rows"
            handles.append(Line2D([], [], color=COLOURS[0], linewidth=1.2, label=words))
    elif len({run["seed"] for run in evaluation.runs}) > 1:
        names = " and ".join(evaluation.title(name) for name in _banded(evaluation))
        words = f"band: one standard deviation over seeds ({names})"
        handles.append(Patch(color="grey", alpha=0.3, linewidth=0, label=words))
    for (name, floor), dashes in zip(floors.items(), _FLOOR_DASHES, strict=False):
        words = f"floor, looks at no input: {name.replace('_', ' ')}, {floor:.3f}"
        handles.append(Line2D([], [], label=words, linestyle=dashes, **_FLOOR))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
