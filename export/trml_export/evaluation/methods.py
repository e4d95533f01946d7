"""Name the methods that stand beside TRML, and train any of them.

All methods share encoders, temporal encoder, head, optimiser and data. They differ in what takes
the place of a missing modality. Where a control beats TRML, the generator or the matching is not
worth its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from trml_export.config import Config
from trml_export.evaluation.predictions import Predictions, predict
from trml_export.features.features import Features
from trml_export.training.fitting import Fit, fit
from trml_rt.errors import UsageError

__all__ = ["METHODS", "Method", "methods_named", "train_method"]


@dataclass(frozen=True)
class Method:
    """One method: a title for tables, and what it changes in the configuration.

    `separate` trains one model for each presence case, on that case alone.
    """

    title: str
    changes: dict[str, Any]
    separate: bool = False


# Without matching, only the task can teach a generator or a constant.
_TAUGHT_BY_TASK = {"matching_weight": 0.0, "task_teaches_generators": True}


def _control(title: str, generator: str) -> Method:
    return Method(title, {"generator": generator, **_TAUGHT_BY_TASK})


METHODS = {
    "trml": Method("TRML", {}),
    "lambda_0": Method("without matching (lambda = 0)", _TAUGHT_BY_TASK),
    "copy": _control("copy of the other modality", "copy"),
    "constant": _control("learned constant", "constant"),
    "mean": _control("training mean", "mean"),
    "zero": _control("zero vector", "zero"),
    "separate": Method(
        "one model a case",
        {"generator": "zero", "matching_weight": 0.0},
        separate=True,
    ),
}
"""By the name that results use. `separate` on text alone and on video alone is the lower bound of
each modality, on both it is the upper bound."""


def methods_named(names: Sequence[str]) -> dict[str, Method]:
    """Return the methods of `names`, or all if it is empty; UsageError for an unknown name."""
    if unknown := [name for name in names if name not in METHODS]:
        raise UsageError(f"no method {', '.join(unknown)}; choose {', '.join(METHODS)}")
    return {name: METHODS[name] for name in names or METHODS}


def train_method(
    method: Method, train: Features, valid: Features, test: Features, config: Config
) -> tuple[Predictions, dict[str, Any]]:
    """Train `method` and return its predictions on `test`, and a record of the training.

    Args:
        method: one of `METHODS`.
        train: what to learn from.
        valid: what to choose the epoch by.
        test: what to predict, once, after the training.
        config: of the TRML that the method is compared with; it holds the seed.
    """
    changed = config.model_copy(update=method.changes)
    if not method.separate:
        result = fit(train, valid, changed, train.size)
        return predict(result.model, test), _record(result)
    parts, record = {}, {}
    for view in _VIEWS:
        views = changed.model_copy(update={"trained_views": view})
        if not _trainable(view, train) or not _trainable(view, valid):
            continue
        result = fit(train, valid, views, train.size)
        parts[view] = predict(result.model, test)
        record[view] = _record(result)
    first, *_ = parts.values()
    merged = {_VIEWS[view]: getattr(prediction, _VIEWS[view]) for view, prediction in parts.items()}
    return replace(first, **merged), record


_VIEWS = {"text": "text", "video": "video", "text_video": "both"}
"""The views of `trained_views`, and the prediction of `Predictions` that each is for."""


def _record(result: Fit) -> dict[str, Any]:
    return {"epochs": result.epochs, "best_epoch": result.best_epoch, "valid": result.valid}


def _trainable(view: str, features: Features) -> bool:
    has = {
        "text": features.has_text,
        "video": features.has_video,
        "text_video": features.has_text & features.has_video,
    }
    return bool(has[view].any())
