"""Hold the answers of a job against the scores or labels that its rows have.

The metrics are those of `trml-rt eval`, which counts them in the extra `train`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from trml_rt.bundle.manifest import Task
from trml_rt.errors import lacks_package

__all__ = ["metrics_of"]

_log = logging.getLogger(__name__)


def metrics_of(
    truth: Sequence[float | str], said: Sequence[float | str], task: Task
) -> dict[str, float | None] | None:
    """Return the metrics of answers, or None where there is no truth, or no package to count.

    Args:
        truth: the scores or labels of rows.
        said: of the same rows, the score or label that was answered.
        task: of the bundle.
    """
    if not truth:
        return None
    try:
        from trml_export.evaluation.metrics import classification_metrics, regression_metrics
    except ImportError as error:
        _log.warning("no metrics: %s", lacks_package("counting them", error, "train"))
        return None
    if task.kind == "regression":
        found = regression_metrics(np.array(truth, float), np.array(said, float))
    else:
        labels = tuple(task.labels)
        places = [np.array([labels.index(str(each)) for each in side]) for side in (truth, said)]
        found = classification_metrics(places[0], places[1], labels)
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
