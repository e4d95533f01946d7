from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import SIZE, SMALL, UNALIGNED, UNALIGNED_SIZE, learnable, unaligned
from trml_export.evaluation.confidence import score_confidence
from trml_export.evaluation.predictions import predict
from trml_export.method.model import TRML
from trml_export.training.confidence import learn_confidence, reach_of, softness_of
from trml_export.training.fitting import fit


def _drawn(logits):
    """Draw a class for each row of `logits` by its probabilities."""
    generator = torch.Generator().manual_seed(0)
    return torch.multinomial(torch.softmax(logits, dim=1), 1, generator=generator).squeeze(1)


def test_logits_that_are_three_times_too_large_are_divided_by_three():
    true = torch.randn(4000, 3, generator=torch.Generator().manual_seed(1))
    assert softness_of(3 * true, _drawn(true)) == pytest.approx(3, rel=0.1)
    assert softness_of(true / 2, _drawn(true)) == pytest.approx(0.5, rel=0.1)


def test_a_case_that_is_never_wrong_on_few_rows_does_not_become_certain():
    logits = torch.tensor([[2.0, 0.0]] * 4)
    softness = softness_of(logits, torch.zeros(4, dtype=torch.int64))
    assert 0.3 < softness < 1


@pytest.mark.parametrize(("rows", "rank"), [(9, 9), (19, 18), (99, 90)])
def test_the_reach_is_the_error_of_the_rank_of_conformal_prediction(rows, rank):
    errors = torch.arange(1.0, rows + 1)
    assert reach_of(torch.zeros(rows, 1), errors.flip(0)) == rank


def test_too_few_rows_promise_nothing():
    assert reach_of(torch.zeros(8, 1), torch.ones(8)) == math.inf


def test_a_model_that_is_far_too_sure_becomes_as_sure_as_it_is_right():
    config = UNALIGNED.model_copy(update={"epochs": 3})
    model = fit(unaligned(300, seed=0), unaligned(100, seed=1), config, UNALIGNED_SIZE).model
    model.head.out.weight.data *= 6
    test, errors = unaligned(600, seed=2), []
    for _ in range(2):
        measured = score_confidence(predict(model, test), test, config)
        errors.append(max(values["error"] for values in measured.values()))
        learn_confidence(model, unaligned(300, seed=1))
    assert errors[1] < errors[0] / 2


def test_softness_moves_no_label_and_what_training_sees_not_at_all():
    rows = unaligned(50, seed=0)
    model = TRML(UNALIGNED, UNALIGNED_SIZE).eval()
    before = predict(model, rows)
    model.softness.copy_(torch.tensor([2.0, 4.0, 8.0]))
    after = predict(model, rows)
    for name, softness in (("text", 2), ("video", 4), ("both", 8)):
        torch.testing.assert_close(
            torch.from_numpy(getattr(after, name) * softness),
            torch.from_numpy(getattr(before, name)),
        )


def test_nine_of_ten_scores_lie_within_the_reach_of_each_case():
    test = learnable(400, seed=2)
    model = fit(learnable(), learnable(100, seed=1), SMALL, SIZE).model
    for measured in score_confidence(predict(model, test), test, SMALL).values():
        assert 0.8 < measured["within"] < 0.98


def test_a_case_without_rows_on_valid_stays_as_it_is():
    alone = learnable(presence="text")
    model = fit(alone, alone, SMALL.model_copy(update={"epochs": 1}), SIZE).model
    assert torch.isfinite(model.reach).tolist() == [True, False, False]


def test_a_model_that_learns_no_confidence_holds_none():
    model = TRML(SMALL.model_copy(update={"learn_confidence": False}), SIZE)
    assert {"softness", "reach"}.isdisjoint(model.state_dict())
