from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.evaluation.intervals import bootstrap, macro_f1, over_seeds
from trml_export.evaluation.metrics import measure

CLASSES = Config(task="classification")


def rows(count, right):
    """Classes of which a share `right` is predicted rightly."""
    rng = np.random.default_rng(3)
    truth = rng.integers(3, size=count)
    chosen = np.where(rng.random(count) < right, truth, (truth + 1) % 3)
    return truth, np.eye(3)[chosen]


def test_the_interval_holds_the_metric_and_shrinks_with_the_rows():
    widths = []
    for count in (50, 5000):
        truth, prediction = rows(count, 0.8)
        low, high = bootstrap(CLASSES, truth, prediction)
        assert low < measure(CLASSES, truth, prediction)["macro_f1"] < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 10, rel=0.3)


def test_macro_f1_of_a_table_is_that_of_the_metrics():
    truth, prediction = rows(40, 0.5)
    prediction[:, 2] = -1  # never chosen
    table = np.zeros((1, 3, 3), int)
    np.add.at(table[0], (truth, prediction.argmax(axis=1)), 1)
    assert macro_f1(table)[0] == pytest.approx(measure(CLASSES, truth, prediction)["macro_f1"])
    seen = truth < 2  # the third label is neither true nor chosen
    table[0, 2] = 0
    expected = measure(CLASSES, truth[seen], prediction[seen])["macro_f1"]
    assert macro_f1(table)[0] == pytest.approx(expected)


def test_the_interval_of_errors_is_that_of_their_mean():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=400)
    errors = rng.exponential(size=400)
    low, high = bootstrap(Config(), truth, (truth + errors)[:, None])
    reach = 1.96 * errors.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((errors.mean() - reach, errors.mean() + reach), rel=0.03)


def test_over_seeds_the_interval_is_students():
    reach = 4.3027 / 3**0.5
    assert over_seeds([1.0, 2.0, 3.0]) == pytest.approx((2 - reach, 2 + reach), rel=1e-4)
    assert over_seeds([1.0]) is None
    assert over_seeds([1.0, math.nan]) is None
