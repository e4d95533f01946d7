"""Choose how to train on valid: TRML in several forms, against controls that infer nothing.

A recipe must earn what it costs, and lose nowhere. So the simplest one is taken that no other beats
in any presence case by more than noise.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_export.config import Config
from trml_export.evaluation.collapse import case_values
from trml_export.evaluation.methods import METHODS
from trml_export.evaluation.metrics import METRIC_TITLES, main_metric
from trml_export.evaluation.predictions import predict
from trml_export.features.features import Features
from trml_export.training.fitting import fit

__all__ = ["CONTROLS", "RECIPES", "SEEDS", "Tried", "best_recipe", "choose_recipe"]

_log = logging.getLogger(__name__)

SEEDS = 3

CONTROLS = ("zero", "constant", "attention")
"""The recipes that infer nothing."""

RECIPES: dict[str, dict[str, Any]] = {
    **{name: METHODS[name].changes for name in CONTROLS},
    "configured": {},
    "standardised": {"standardise": True},
    "gated": {"gate": True},
    "distilled": {"distil_weight": 1.0},
    "matching alone": {
        "matching_loss": "label_infonce",
        "matching_weight": 1.0,
        "task_teaches_generators": False,
    },
}
"""What each changes in the configuration, from the simplest on."""


@dataclass(frozen=True)
class Tried:
    """A recipe on valid: for each seed the main metric of each presence case."""

    name: str
    config: Config
    cases: list[dict[str, float]]

    def mean(self, case: str) -> float:
        """Return the mean over seeds of a presence case."""
        return statistics.fmean(values[case] for values in self.cases)

    def deviation(self, case: str) -> float:
        """Return the deviation over seeds of a presence case; 0 of one seed."""
        values = [each[case] for each in self.cases]
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        means = {case: self.mean(case) for case in self.cases[0]}
        return {"recipe": self.name, "cases": self.cases, "means": means}


def choose_recipe(
    train: Features,
    valid: Features,
    config: Config,
    size: int,
    *,
    state_of: Callable[[Config], Path],
    recipes: Mapping[str, dict[str, Any]] = RECIPES,
    seeds: int = SEEDS,
) -> tuple[Tried, list[Tried]]:
    """Train every recipe with every seed, and return the one to take and all that were tried.

    Args:
        train: what to learn from.
        valid: what to choose by.
        config: what the recipes change; the seeds count up from its seed.
        size: d.
        state_of: the file for the state of a training; a finished one is not trained again.
        recipes: what to try, by name, from the simplest on.
        seeds: how many.
    """
    tried = []
    metric = main_metric(config)
    for number, (name, changes) in enumerate(recipes.items(), 1):
        changed = config.model_copy(update=changes)
        cases = []
        for seed in range(config.seed, config.seed + seeds):
            one = changed.model_copy(update={"seed": seed})
            model = fit(train, valid, one, size, state=state_of(one)).model
            cases.append(case_values(predict(model, valid), valid, config))
        tried.append(Tried(name, changed, cases))
        _log.info(
            "recipe %d of %d, %s: %s on valid: %s",
            *(number, len(recipes), name, METRIC_TITLES[metric]),
            ", ".join(f"{case} {tried[-1].mean(case):.4f}" for case in cases[0]),
        )
    return best_recipe(tried, metric), tried


def best_recipe(tried: Sequence[Tried], metric: str) -> Tried:
    """Return the first that no other beats by more than noise in any presence case.

    The noise of a case is the deviation over seeds of the recipe that is best there. Where each
    one loses somewhere, the one that loses the least in its worst case is returned.

    Args:
        tried: on the same rows, from the simplest on.
        metric: the main metric, which the presence cases hold.
    """
    sign = -1 if metric == "mae" else 1
    best: dict[str, Tried] = {}
    for case in tried[0].cases[0]:
        best[case] = max(tried, key=lambda each: sign * each.mean(case))

    def losses(each: Tried) -> dict[str, float]:
        return {case: sign * (top.mean(case) - each.mean(case)) for case, top in best.items()}

    for each in tried:
        if all(loss <= best[case].deviation(case) for case, loss in losses(each).items()):
            return each
    return min(tried, key=lambda each: max(losses(each).values()))
