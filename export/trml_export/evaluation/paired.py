"""Compare methods seed by seed: under one seed they start and shuffle alike."""

from __future__ import annotations

from trml_export.evaluation.metrics import main_metric
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.statistic import Statistic, table

__all__ = ["REFERENCE", "cases_of", "gains", "paired"]

REFERENCE = "constant"
"""The method to beat: a learned constant costs nothing and looks at nothing."""

_CASES = {
    "text + video": "random_0.0",
    "text": "video_missing_1.0",
    "video": "text_missing_1.0",
    "random 0.3": "random_0.3",
    "random 0.5": "random_0.5",
}


def cases_of(evaluation: Evaluation) -> dict[str, str]:
    """Return the cases in which methods are compared, by title; "as it is" where no other is."""
    measured = {case["case"] for run in evaluation.runs for case in run["cases"]}
    cases = {title: case for title, case in _CASES.items() if case in measured}
    return cases or {"as it is": "as_is"}


def gains(evaluation: Evaluation, completeness: float, method: str, case: str) -> list[float]:
    """Return the gains of a method over the learned constant in the main metric, one a seed.

    A positive gain is better, also for errors.
    """
    metric = main_metric(evaluation.config)
    sign = -1 if metric == "mae" else 1
    values = {
        (run["method"], run["seed"]): each[metric]
        for run in evaluation.runs
        if run["completeness"] == completeness
        for each in run["cases"]
        if each["case"] == case
    }
    return [
        sign * (value - values[REFERENCE, seed])
        for (name, seed), value in values.items()
        if name == method
    ]


def paired(evaluation: Evaluation) -> str | None:
    """Return each method's gain over the learned constant: mean, deviation and wins over seeds.

    There is one Markdown table of the main metric for each completeness. The result is None
    without a constant, or without another method.
    """
    if REFERENCE not in evaluation.methods or len(evaluation.methods) < 2:
        return None
    metric = main_metric(evaluation.config)
    cases = cases_of(evaluation)
    tables = []
    for share in evaluation.completeness:
        head = f"{metric}: gain over the learned constant, training {share:.0%} complete"
        lines = [[head, *cases], ["---"] * (len(cases) + 1)]
        for method in evaluation.methods:
            if method == REFERENCE:
                continue
            cells = []
            for case in cases.values():
                found = gains(evaluation, share, method, case)
                wins = sum(gain > 0 for gain in found)
                cells.append(f"{Statistic.of(found)} ({wins}/{len(found)})")
            lines.append([evaluation.title(method), *cells])
        tables.append(table(lines))
    return "\n\n".join(tables) + "\n"
