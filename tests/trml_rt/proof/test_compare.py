"""The comparison itself: ranks with ties, shapes, and the one table of limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from trml_rt.answer import label_of, read_prediction
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import Task
from trml_rt.proof.compare import LIMITS, Case, compare, rank_correlation
from trml_rt.proof.golden import golden_answers


def test_equal_scores_share_the_mean_of_their_ranks():
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 1 - 6 * 0.5 / (4 * 15), corrected for the tie.
    found = rank_correlation(np.array([0.0, 1, 1, 2]), np.array([0.0, 1, 2, 3]))
    assert found == pytest.approx(0.9486832980505138)


@pytest.mark.parametrize("clipped", [0.0, 0.3, 0.9])
def test_the_coefficient_is_spearmans_with_any_share_of_ties(clipped):
    stats = pytest.importorskip("scipy.stats")
    make = np.random.default_rng(0)
    scores = make.uniform(-1, 1, 500)
    scores[: int(clipped * 500)] = 1.0
    others = np.clip(scores + make.normal(0, 0.05, 500), -1, 1)
    expected = stats.spearmanr(scores, others).statistic
    assert rank_correlation(scores, others) == pytest.approx(expected, abs=1e-12)


def test_scores_without_an_order_correlate():
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 1.0
    assert rank_correlation(np.ones(1), np.ones(1)) == 1.0


def text_only(bundle, scores, others):
    """Compare predictions of the set of texts, all else equal, in FP16's limits."""
    ((case, answer), *_) = zip(*golden_answers(bundle), strict=True)
    tensors = {name: np.repeat(value[:1], len(scores), 0) for name, value in answer["text"].items()}
    sides = [
        tensors | {"prediction": np.asarray(side, np.float32)[:, None]} for side in (scores, others)
    ]
    [engine_set] = [s for s in bundle.manifest.engine_sets if s.name == "text"]
    answers = [[{"text": side}] for side in sides]
    cases = [Case(case.inputs)]
    return compare(bundle.manifest, [engine_set], cases, *answers, LIMITS["fp16"])["text"]


def test_a_histogram_counts_every_row_by_its_difference(tiny_bundle):
    scores = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    others = scores + np.array([0.0, 2e-3, 2e-3, 0.0, -1.5])
    found = text_only(Bundle(tiny_bundle), scores, others).measured["score_differences"]
    edges, counts = found["edges"], found["counts"]
    assert (edges[0], counts[0], counts[-1], sum(counts)) == (1e-6, 2, 1, len(scores))
    [two] = [n for n, count in enumerate(counts) if count and 0 < n < len(counts) - 1]
    assert counts[two] == 2
    assert edges[two] <= 2e-3 < edges[two + 1]
    assert edges[-2] <= 1.5 < edges[-1]


def problems(verdicts):
    return [text for verdict in verdicts.values() for text in verdict.problems]


@pytest.mark.parametrize(("clipped", "passes"), [(0.05, False), (0.3, True)])
def test_many_scores_at_an_end_of_the_range_take_the_rank_out_of_the_gate(
    tiny_bundle, clipped, passes
):
    bundle = Bundle(tiny_bundle)
    low, high = bundle.manifest.task.range
    make = np.random.default_rng(1)
    scores = make.uniform(low + 0.5, low + 0.52, 400)  # close together: noise moves ranks
    others = scores + make.uniform(-0.009, 0.009, 400)
    scores[: int(400 * clipped)] = others[: int(400 * clipped)] = high
    report = text_only(bundle, scores, others)
    assert report.measured["rank_correlation"] < LIMITS["fp16"].rank
    assert report.measured["at_the_ends"] == pytest.approx(clipped)
    assert any("rank" in problem for problem in report.problems) != passes


def test_another_shape_is_a_problem_and_no_crash(tiny_bundle):
    bundle = Bundle(tiny_bundle)
    cases, golden = golden_answers(bundle)
    others = [
        {
            name: tensors | {"text_vector": tensors["text_vector"][:, :-1]}
            for name, tensors in a.items()
        }
        if "text" in a
        else a
        for a in golden
    ]
    report = compare(
        bundle.manifest, bundle.manifest.engine_sets, cases, golden, others, LIMITS["fp32"]
    )
    rows, size = golden[0]["text"]["text_vector"].shape
    assert problems(report) == [f"text/text_vector: shape {rows, size - 1}, not {rows, size}"]


def changed(golden, engine_set, tensor, change):
    """Return the golden answers with one tensor of one engine set changed."""
    return [
        {
            name: tensors | {tensor: change(tensors[tensor])} if name == engine_set else tensors
            for name, tensors in answer.items()
        }
        for answer in golden
    ]


def against_golden(bundle, expected=None, answers=None, precision="fp32"):
    """Compare answers with golden ones; None stands for the golden answers themselves."""
    cases, golden = golden_answers(bundle)
    sides = (golden if side is None else side for side in (expected, answers))
    sets = bundle.manifest.engine_sets
    return compare(bundle.manifest, sets, cases, *sides, LIMITS[precision])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("tensor", ["virtual_text", "frame_vectors", "prediction"])
def test_nan_and_infinity_are_problems_on_either_side_and_no_crash(tiny_bundle, tensor, value):
    bundle = Bundle(tiny_bundle)
    broken = changed(golden_answers(bundle)[1], "video", tensor, lambda v: np.full_like(v, value))
    report = against_golden(bundle, answers=broken)
    assert problems(report) == [f"video/{tensor}: NaN or infinity"]
    assert [name for name, v in report.items() if not v.measured] == ["video"]
    report = against_golden(bundle, expected=broken)
    assert problems(report) == [f"video/{tensor}: NaN or infinity in the reference"]


def test_a_vector_of_zeros_equals_itself_and_nothing_else(tiny_bundle):
    """A control that generates zeros must pass, and one that died must not."""
    bundle = Bundle(tiny_bundle)
    zeros = changed(golden_answers(bundle)[1], "text", "virtual_video", np.zeros_like)
    assert against_golden(bundle, expected=zeros, answers=zeros)["text"].problems == []
    for sides in ({"expected": zeros}, {"answers": zeros}):
        report = against_golden(bundle, **sides, precision="int8")
        assert problems(report) == ["text/virtual_video: least cosine 0.0000, 0.98 needed"]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_untied_scores_lower_the_coefficient_by_what_the_limit_of_their_share_rests_on(share):
    """The share that takes the rank out of the gate rests on this: sqrt(1 - s^3)."""
    scores = np.arange(1000.0)
    tied = np.minimum(scores, scores[round(1000 * (1 - share))])
    assert rank_correlation(tied, scores) == pytest.approx(np.sqrt(1 - share**3), abs=1e-5)


def test_one_bad_row_among_four_hundred_good_ones_fails(tiny_bundle):
    bundle = Bundle(tiny_bundle)
    cases, golden = (each * 100 for each in golden_answers(bundle))
    away = changed(golden[:1], "text", "text_vector", lambda v: np.concatenate([v[:-1], -v[-1:]]))
    sets = [s for s in bundle.manifest.engine_sets if s.name == "text"]
    report = compare(bundle.manifest, sets, cases, golden, away + golden[1:], LIMITS["int8"])
    assert report["text"].measured["tensors"]["text_vector"]["mean_cosine"] > 0.99
    assert problems(report) == ["text/text_vector: least cosine -1.0000, 0.98 needed"]


@pytest.mark.parametrize(("score", "label"), [(-0.2, 0), (0.2, 1), (0.19999, 0), (1.0, 1)])
def test_a_score_on_a_threshold_has_the_upper_label_in_answers_and_in_rows(score, label):
    task = Task(kind="regression", labels=["low", "high"], range=[-1.0, 1.0], thresholds=[0.2])
    assert read_prediction(np.array([score]), task)[0] == task.labels[label]
    assert label_of(score, task) == task.labels[label]


def test_every_precision_has_its_limits_and_a_lower_one_allows_more():
    assert tuple(LIMITS) == PRECISIONS
    for finer, coarser in itertools.pairwise(PRECISIONS):
        assert LIMITS[finer].cosine_fails >= LIMITS[coarser].cosine_fails
        assert LIMITS[finer].score < LIMITS[coarser].score
