from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")

from trml_export.data import Sample
from trml_export.evaluation.masks import CASES, MissingCase, incomplete, presence
from trml_export.features.features import Features

IDS = [f"clip {number}" for number in range(4000)]
RANDOM = [case for case in CASES if case.kind == "random"]


def _features(count: int = 1000) -> Features:
    """Complete samples, and one without text and one without video at the end."""
    samples = [Sample(name, "train", name, None, 0.0) for name in IDS[: count + 2]]
    vector, clip = np.ones(4, np.float32), np.ones((2, 4), np.float32)
    texts = [vector] * count + [None, vector]
    clips = [clip] * count + [clip, None]
    return Features.of(samples, texts, clips)


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.name)
def test_the_random_rate_is_the_share_of_all_modalities(case):
    missing = (presence(IDS, case) != 3).mean() / 2
    assert missing == pytest.approx(case.rate, abs=0.02)


def test_each_modality_goes_missing_alike_often():
    keeps = presence(IDS, MissingCase("random", 0.4))
    assert (keeps == 1).mean() == pytest.approx((keeps == 2).mean(), abs=0.03)


def test_at_half_every_sample_keeps_exactly_one():
    assert set(presence(IDS, MissingCase("random", 0.5)).tolist()) == {1, 2}


@pytest.mark.parametrize(("victim", "keeps"), [("text", 2), ("video", 1)])
def test_a_victim_is_dropped_at_its_rate_and_nothing_else(victim, keeps):
    keeps_of = presence(IDS, MissingCase(victim, 0.7))
    assert set(keeps_of.tolist()) == {keeps, 3}
    assert (keeps_of == keeps).mean() == pytest.approx(0.7, abs=0.03)


def test_what_is_missing_at_one_rate_is_missing_at_a_higher_one():
    for lower, higher in itertools.pairwise(RANDOM):
        one, other = presence(IDS, lower), presence(IDS, higher)
        assert (other[one != 3] == one[one != 3]).all()


def test_a_mask_belongs_to_the_id_and_not_to_the_order():
    case = MissingCase("random", 0.3)
    assert (presence(IDS[::-1], case) == presence(IDS, case)[::-1]).all()


def test_training_keeps_the_stated_share_complete_and_no_sample_loses_both():
    masked = incomplete(_features(), 0.5)
    both = masked.has_text & masked.has_video
    assert both.sum() == pytest.approx(500, abs=50)
    assert (masked.has_text | masked.has_video).all()


def test_samples_that_lack_a_modality_already_lose_nothing_more():
    masked = incomplete(_features(), 0.0)
    assert masked.has_text[-2:].tolist() == [False, True]
    assert masked.has_video[-2:].tolist() == [True, False]


def test_full_completeness_changes_nothing():
    features = _features()
    masked = incomplete(features, 1.0)
    assert (masked.text_rows == features.text_rows).all()
    assert (masked.clip_lengths == features.clip_lengths).all()
