"""The metrics of the field, as MMSA and MELD's own papers count them.

scikit-learn and scipy count. This module decides which rows count, and how a score becomes a class.
Every metric is a share or a number in the units of the score, never a percentage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from trml_export.config import Config

__all__ = [
    "METRIC_TITLES",
    "classification_metrics",
    "main_metric",
    "measure",
    "regression_metrics",
]

# MMSA: a score clipped to [-k, k] and rounded half to even is one of 2k + 1 classes.
_CLASSES = {"acc_7": 3, "acc_5": 2, "acc_3": 1}


METRIC_TITLES = {"mae": "MAE", "macro_f1": "macro F1"}
"""The main metrics, as pictures call them."""


def main_metric(config: Config) -> str:
    """Return the metric that plots and tables show: "mae", or "macro_f1" for classes."""
    return "mae" if config.task == "regression" else "macro_f1"


def measure(
    config: Config, truth: NDArray[np.generic], prediction: NDArray[np.floating]
) -> dict[str, float]:
    """Return all metrics of predictions (rows, outputs) for the task of `config`.

    Without rows there is nothing to measure, and the result is empty.
    """
    if len(truth) == 0:
        return {}
    if config.task == "regression":
        return regression_metrics(truth.astype(float), prediction[:, 0].astype(float))
    return classification_metrics(truth.astype(int), prediction.argmax(axis=1), config.labels)


def regression_metrics(
    truth: NDArray[np.floating], score: NDArray[np.floating]
) -> dict[str, float]:
    """Return MMSA's metrics of scores (rows,).

    `has0_*` splits at y >= 0 over all rows, `non0_*` at y > 0 over the rows with y != 0. F1 is
    weighted by class. `acc_7`, `acc_5` and `acc_3` clip both sides to [-3, 3], [-2, 2] and
    [-1, 1] and round half to even. `mae` is of the unclipped score. `pearson` is NaN where
    either side is constant, the `non0_*` where no row has a sign.
    """
    signed = truth != 0
    constant = np.ptp(truth) == 0 or np.ptp(score) == 0
    metrics = {
        "mae": float(np.abs(score - truth).mean()),
        "pearson": float("nan") if constant else float(stats.pearsonr(truth, score).statistic),
    }
    for name, rows, positive in (
        ("has0", np.ones(len(truth), bool), np.greater_equal),
        ("non0", signed, np.greater),
    ):
        true_class, class_ = positive(truth[rows], 0), positive(score[rows], 0)
        empty = not rows.any()
        metrics[f"{name}_acc_2"] = float("nan") if empty else accuracy_score(true_class, class_)
        metrics[f"{name}_f1"] = float("nan") if empty else _f1(true_class, class_, "weighted")
    for name, edge in _CLASSES.items():
        rounded = [np.round(np.clip(side, -edge, edge)) for side in (truth, score)]
        metrics[name] = float(accuracy_score(*rounded))
    return metrics


def classification_metrics(
    truth: NDArray[np.integer], chosen: NDArray[np.integer], labels: tuple[str, ...]
) -> dict[str, float]:
    """Return accuracy, weighted and macro F1, and the F1 of each label, as `f1_<label>`.

    A label that is neither true nor chosen anywhere has no F1 (NaN) and no part in the macro F1.
    """
    each = f1_score(truth, chosen, labels=range(len(labels)), average=None, zero_division=np.nan)
    return {
        "accuracy": float(accuracy_score(truth, chosen)),
        "weighted_f1": _f1(truth, chosen, "weighted"),
        "macro_f1": float(np.nanmean(each)),
        **{f"f1_{label}": float(value) for label, value in zip(labels, each, strict=True)},
    }


def _f1(truth: NDArray[np.generic], chosen: NDArray[np.generic], average: str) -> float:
    return float(f1_score(truth, chosen, average=average, zero_division=0))
