"""Metrics: cases worked out by hand, MMSA's own rules, and scikit-learn as the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

from sklearn import metrics as oracle

from trml_export.config import Config
from trml_export.evaluation.metrics import classification_metrics, measure, regression_metrics

TRUTH = np.array([-2.4, -1.0, 0.0, 0.0, 0.6, 3.0])
SCORE = np.array([-1.6, 0.2, -0.1, 0.4, 0.5, 3.9])


def test_the_mean_error_is_of_the_unclipped_score():
    assert regression_metrics(TRUTH, SCORE)["mae"] == pytest.approx(
        (0.8 + 1.2 + 0.1 + 0.4 + 0.1 + 0.9) / 6
    )


def test_has0_splits_all_rows_at_zero_or_above():
    # True: - - + + + +   said: - + - + + +
    metrics = regression_metrics(TRUTH, SCORE)
    assert metrics["has0_acc_2"] == pytest.approx(4 / 6)
    # Negative: precision and recall 1/2; positive: 3/4 and 3/4; weighted by 2 and 4 rows.
    assert metrics["has0_f1"] == pytest.approx((2 * 0.5 + 4 * 0.75) / 6)


def test_non0_leaves_out_rows_of_zero_and_splits_above_zero():
    # Rows -2.4, -1.0, 0.6, 3.0: true - - + +, said - + + +
    metrics = regression_metrics(TRUTH, SCORE)
    assert metrics["non0_acc_2"] == pytest.approx(3 / 4)
    # Negative: precision 1, recall 1/2, F1 2/3; positive: precision 2/3, recall 1, F1 4/5.
    assert metrics["non0_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_a_score_of_exactly_zero_is_positive_for_has0_and_negative_for_non0():
    metrics = regression_metrics(np.array([1.0, -1.0]), np.array([0.0, 0.0]))
    assert (metrics["has0_acc_2"], metrics["non0_acc_2"]) == (0.5, 0.5)
    metrics = regression_metrics(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    assert (metrics["has0_acc_2"], metrics["non0_acc_2"]) == (1.0, 0.0)


@pytest.mark.parametrize(("name", "edge"), [("acc_7", 3), ("acc_5", 2), ("acc_3", 1)])
def test_classes_clip_both_sides_and_round(name, edge):
    right = [
        round(max(-edge, min(edge, t))) == round(max(-edge, min(edge, s)))
        for t, s in zip(TRUTH, SCORE, strict=True)  # Python rounds half to even, too
    ]
    assert regression_metrics(TRUTH, SCORE)[name] == pytest.approx(sum(right) / 6)


def test_classes_round_half_to_even():
    # 0.5 and -0.5 become 0, 1.5 becomes 2, 2.5 becomes 2.
    metrics = regression_metrics(np.array([0.0, 0.0, 2.0, 2.0]), np.array([0.5, -0.5, 1.5, 2.5]))
    assert metrics["acc_7"] == 1.0


def test_pearson_is_the_correlation_and_no_number_for_a_constant():
    expected = np.corrcoef(TRUTH, SCORE)[0, 1]
    assert regression_metrics(TRUTH, SCORE)["pearson"] == pytest.approx(expected)
    assert math.isnan(regression_metrics(TRUTH, np.ones(6))["pearson"])


def test_without_a_signed_row_non0_is_no_number():
    metrics = regression_metrics(np.zeros(2), np.array([0.1, -0.1]))
    assert math.isnan(metrics["non0_acc_2"])
    assert math.isnan(metrics["non0_f1"])


def test_classes_are_counted_as_by_hand():
    # True 0 0 0 1 1 2, said 0 0 1 1 2 2: F1 of 0 is 4/5, of 1 is 1/2, of 2 is 2/3.
    metrics = classification_metrics(
        np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2]), ("a", "b", "c")
    )
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert [metrics[f"f1_{name}"] for name in "abc"] == pytest.approx([4 / 5, 1 / 2, 2 / 3])
    assert metrics["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert metrics["weighted_f1"] == pytest.approx((3 * 4 / 5 + 2 * 1 / 2 + 2 / 3) / 6)


def test_always_neutral_on_meld_scores_what_the_paper_of_the_data_says():
    # The test split of MELD: 1256 of 2610 neutral; 48.12 % accuracy, 31.27 weighted F1.
    counts = [1256, 281, 50, 208, 402, 68, 345]
    truth = np.repeat(np.arange(7), counts)
    metrics = classification_metrics(truth, np.zeros(len(truth), int), tuple("abcdefg"))
    assert round(100 * metrics["accuracy"], 2) == 48.12
    assert round(100 * metrics["weighted_f1"], 2) == 31.27


def test_a_label_that_never_occurs_has_no_part_in_the_macro_f1():
    metrics = classification_metrics(np.array([0, 1]), np.array([0, 1]), ("a", "b", "never"))
    assert math.isnan(metrics["f1_never"])
    assert metrics["macro_f1"] == 1.0


def test_random_answers_agree_with_scikit_learn():
    generator = np.random.default_rng(3)
    truth, chosen = generator.integers(0, 4, (2, 200))
    metrics = classification_metrics(truth, chosen, tuple("abcd"))
    assert metrics["accuracy"] == oracle.accuracy_score(truth, chosen)
    for average in ("weighted", "macro"):
        assert metrics[f"{average}_f1"] == pytest.approx(
            oracle.f1_score(truth, chosen, average=average)
        )


def test_logits_choose_the_largest():
    config = Config(task="classification", labels=("a", "b"))
    metrics = measure(config, np.array([0, 1]), np.array([[2.0, 1.0], [5.0, 1.0]]))
    assert metrics["accuracy"] == 0.5


def test_nothing_to_measure_gives_no_metric():
    assert measure(Config(), np.array([]), np.zeros((0, 1))) == {}
