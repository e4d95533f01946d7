"""Draw a training: losses and metrics by epoch, and the epoch that was kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trml_export.plots.picture import COLOURS, DASHES, MARKERS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["training_picture"]

_CASES = {"text": "text alone", "video": "video alone", "text_video": "both inputs"}
_KEPT = {"color": "black", "linewidth": 0.8, "linestyle": ":"}


def training_picture(
    history: Sequence[Mapping[str, Any]], best_epoch: int, title: str
) -> dict[str, bytes]:
    """Return two panels: the losses, and the metric on valid in each presence case.

    Args:
        history: a record for each epoch, as `trml_export.training.fitting.Fit` has them. An epoch
            without one leaves a gap.
        best_epoch: the one that was kept.
        title: lines above the panels.
    """
    names = list(history[-1]["valid"])[1:]
    metric = names[0].rpartition("_")[2] if names else "metric"
    losses = {"train": _curve(history, lambda each: each["train_loss"])}
    losses["valid"] = _curve(history, lambda each: each["valid"]["loss"])
    metrics = {
        _CASES[name.rpartition("_")[0]]: _curve(history, lambda each, n=name: each["valid"][n])
        for name in names
    }

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        left, right = figure.subplots(1, 2)
        _panel(left, losses, "loss (lower is better)")
        better = "lower" if metric == "mae" else "higher"
        shown = metric.upper() if metric == "mae" else metric
        _panel(right, metrics, f"{shown} on valid ({better} is better)")
        for axes in (left, right):
            axes.axvline(best_epoch, gid="kept", label=f"kept: epoch {best_epoch}", **_KEPT)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)

    return draw(paint, title, 3.4)


def _curve(history: Sequence[Mapping[str, Any]], value: Any) -> tuple[list[float], list[float]]:
    """Return epochs and values, NaN where epochs are not known."""
    epochs: list[float] = []
    values: list[float] = []
    for each in history:
        if epochs and each["epoch"] != epochs[-1] + 1:
            epochs.append(math.nan)
            values.append(math.nan)
        epochs.append(each["epoch"])
        values.append(value(each))
    return epochs, values


def _panel(axes: Axes, lines: Mapping[str, tuple[list[float], list[float]]], label: str) -> None:
    for number, (name, (epochs, values)) in enumerate(lines.items()):
        axes.plot(
            *(epochs, values),
            color=COLOURS[number],
            marker=MARKERS[number],
            linestyle=DASHES[number],
            markersize=3,
            linewidth=1.2,
            label=name,
        )
    axes.set_ylabel(label)
