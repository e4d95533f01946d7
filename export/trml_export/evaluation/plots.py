"""Draw the metric against the missing rate, one curve a method."""

from __future__ import annotations

import io

from trml_export.evaluation.masks import CASES
from trml_export.evaluation.metrics import main_metric
from trml_export.evaluation.record import Evaluation

__all__ = ["missing_rate_plot"]

_PANELS = {
    "random": "a random modality missing (share of all)",
    "video": "video missing (share of samples)",
    "text": "text missing (share of samples)",
}


def missing_rate_plot(evaluation: Evaluation, completeness: float) -> bytes:
    """Return a PNG of three panels: a random modality missing, video missing, text missing.

    A line is the mean over seeds, a band its standard deviation. Every panel starts with the case
    in which nothing is missing.
    """
    from matplotlib.figure import Figure

    metric = main_metric(evaluation.config)
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    axes = figure.subplots(1, len(_PANELS), sharey=True)
    for panel, (kind, title) in zip(axes, _PANELS.items(), strict=True):
        cases = [c for c in CASES if c.kind == kind or c.name == "random_0.0"]
        for method in evaluation.methods:
            points = [
                (case.rate, statistic)
                for case in cases
                if (statistic := evaluation.statistic(method, completeness, case.name, metric))
            ]
            rates = [rate for rate, _ in points]
            means = [statistic.mean for _, statistic in points]
            spreads = [statistic.deviation or 0.0 for _, statistic in points]
            (line,) = panel.plot(
                rates,
                means,
                marker="o",
                markersize=3,
                linewidth=2 if method == "trml" else 1,
                label=evaluation.title(method),
            )
            panel.fill_between(
                rates,
                [mean - spread for mean, spread in zip(means, spreads, strict=True)],
                [mean + spread for mean, spread in zip(means, spreads, strict=True)],
                color=line.get_color(),
                alpha=0.12,
                linewidth=0,
            )
        panel.set_xlabel(title)
        panel.grid(alpha=0.3)
    better = "lower" if metric == "mae" else "higher"
    axes[0].set_ylabel(f"{metric.replace('_', ' ')} ({better} is better)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(
        f"{evaluation.data['name']}, {evaluation.data['split']} split, training "
        f"{completeness:.0%} complete"
    )
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
