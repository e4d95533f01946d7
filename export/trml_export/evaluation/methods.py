"""Name the methods that stand beside TRML, and train any of them.

All methods share encoders, temporal encoder, head, optimiser and data. They differ in what takes
the place of a missing modality. Where a control beats TRML, the generator or the matching is not
worth its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from trml_export.config import Config
from trml_export.evaluation.predictions import Floats, Predictions, predict
from trml_export.features.features import Features
from trml_export.training.fitting import Fit, fit
from trml_rt.errors import UsageError

__all__ = ["METHODS", "Method", "methods_named", "train_method"]


@dataclass(frozen=True)
class Method:
    """One method: a title for tables, and what it changes in the configuration.

    `separate` trains one model for each presence case, on that case alone. With `average` it trains
    two, on text and on video, and the answer to both inputs is the mean of theirs.
    """

    title: str
    changes: dict[str, Any]
    separate: bool = False
    average: bool = False


# Without matching, only the task can teach a generator or a constant.
_TAUGHT_BY_TASK = {"matching_weight": 0.0, "task_teaches_generators": True}


_ONE_CASE = {
    "generator": "zero",
    "gate": False,
    "matching_weight": 0.0,
    "distil_weight": 0.0,
    "confidence_weight": 0.0,
}


def _control(title: str, generator: str) -> Method:
    return Method(title, {"generator": generator, "gate": False, **_TAUGHT_BY_TASK})


METHODS = {
    "trml": Method("TRML", {}),
    "lambda_0": Method("without matching (lambda = 0)", _TAUGHT_BY_TASK),
    "copy": _control("copy of the other modality", "copy"),
    "constant": _control("learned constant", "constant"),
    "mean": _control("training mean", "mean"),
    "zero": _control("zero vector", "zero"),
    "attention": Method(
        "self-attention over what is there",
        {"generator": "zero", "gate": False, "fusion": "attention", **_TAUGHT_BY_TASK},
    ),
    "separate": Method("one model a case", _ONE_CASE, separate=True),
    "average": Method("mean of one model each input", _ONE_CASE, separate=True, average=True),
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
        if method.average and view == "text_video":
            continue
        views = changed.model_copy(update={"trained_views": view})
        if not _trainable(view, train) or not _trainable(view, valid):
            continue
        result = fit(train, valid, views, train.size)
        parts[view] = predict(result.model, test)
        record[view] = _record(result)
    first, *_ = parts.values()
    merged = {_VIEWS[view]: getattr(prediction, _VIEWS[view]) for view, prediction in parts.items()}
    reach = {view: part.reach[view] for view, part in parts.items() if view in part.reach}
    if method.average and {"text", "video"} <= merged.keys():
        merged["both"] = _mean_answer(merged["text"], merged["video"], config)
    return replace(first, **merged, reach=reach), record


def _mean_answer(text: Floats, video: Floats, config: Config) -> Floats:
    """Return the mean of two scores (rows, 1), or the logarithm of the mean of two chances."""
    if config.task == "regression":
        return (text + video) / 2
    chances = [softmax(logits, axis=1) for logits in (text, video)]
    return np.log((chances[0] + chances[1]) / 2).astype(np.float32)


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
