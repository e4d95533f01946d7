"""Choose the pictures of an evaluation, and say in each what was measured on what."""

from __future__ import annotations

from trml_export.evaluation.curves import curves
from trml_export.evaluation.dots import dots
from trml_export.evaluation.metrics import METRIC_TITLES, main_metric
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.reliability import reliability, reliability_picture
from trml_export.plots.picture import COLOURS

__all__ = ["evaluation_pictures", "headline"]


def evaluation_pictures(evaluation: Evaluation) -> dict[str, dict[str, bytes]]:
    """Return the pictures of an evaluation by name, each by the ending of its file.

        missing_<c>  the main metric against the missing rate, training c complete
        gains_<c>    each method's gain over the learned constant, sorted, one row a method
        reliability  what one model says against what was true, where its rows are known

    There are no curves where no sample is complete, for then nothing can be taken away, nor
    where the methods outnumber the colours. There are no gains of a single method. Without a
    constant the rows show the metric itself.
    """
    pictures = {}
    several = len(evaluation.methods) > 1
    for share in evaluation.completeness:
        title = headline(evaluation, share)
        if evaluation.data["samples"]["text_video"] and len(evaluation.methods) <= len(COLOURS):
            pictures[f"missing_{share:g}"] = curves(evaluation, share, title)
        if several:
            pictures[f"gains_{share:g}"] = dots(evaluation, share, title)
    if evaluation.rows:
        bins = reliability(evaluation.rows, evaluation.config)
        title = headline(evaluation, 1.0)
        pictures["reliability"] = reliability_picture(bins, evaluation.config, title)
    return pictures


def headline(evaluation: Evaluation, completeness: float) -> str:
    """Return the title of a picture: the model, the data, and how many rows."""
    data, samples = evaluation.data, evaluation.data["samples"]
    kinds = {"text_video": "with both inputs", "text": "text alone", "video": "video alone"}
    counts = [f"{samples[k]:,} {words}" for k, words in kinds.items() if samples[k]]
    metric = METRIC_TITLES[main_metric(evaluation.config)]
    lines = [f"{evaluation.name}: {metric} on {data['name']}, {data['split']} split"]
    total = f"{sum(samples.values()):,} rows: " if len(counts) > 1 else "rows: "
    lines.append(total + ", ".join(counts))
    if evaluation.of_method:
        trained = evaluation.subject["training_samples"]
        whole = f", {completeness:.0%} of the complete ones left whole"
        seeds = len({run["seed"] for run in evaluation.runs})
        lines.append(
            f"trained on {sum(trained.values()):,} rows{whole if trained['text_video'] else ''}; "
            f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
        )
    return "\n".join(lines)
