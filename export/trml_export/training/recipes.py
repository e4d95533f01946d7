"""Choose how to train on valid: TRML in several forms, against controls that infer nothing.

A recipe must earn what it costs. So the simpler one is taken wherever the better one is better by
no more than its own deviation over seeds.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Mapping
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

__all__ = ["RECIPES", "SEEDS", "Tried", "choose_recipe"]

_log = logging.getLogger(__name__)

SEEDS = 3

RECIPES: dict[str, dict[str, Any]] = {
    **{name: METHODS[name].changes for name in ("zero", "constant", "attention")},
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

    @property
    def means(self) -> list[float]:
        """The mean over presence cases, one a seed."""
        return [statistics.fmean(values.values()) for values in self.cases]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        return {"recipe": self.name, "cases": self.cases, "mean": statistics.fmean(self.means)}


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
            "recipe %d of %d, %s: mean %s %.4f on valid",
            *(number, len(recipes), name, METRIC_TITLES[metric], statistics.fmean(tried[-1].means)),
        )
    return _simplest_of_the_best(tried, 1 if metric == "mae" else -1), tried


def _simplest_of_the_best(tried: list[Tried], sign: int) -> Tried:
    """Return the first that the best one does not beat by more than its own deviation.

    `sign` is 1 where less is better, and -1 where more is.
    """
    best = min(tried, key=lambda each: sign * statistics.fmean(each.means))
    noise = statistics.stdev(best.means) if len(best.means) > 1 else 0.0
    limit = sign * statistics.fmean(best.means) + noise
    return next(each for each in tried if sign * statistics.fmean(each.means) <= limit)
