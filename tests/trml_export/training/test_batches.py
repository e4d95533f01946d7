from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import SMALL, learnable
from trml_export.data import Sample
from trml_export.training.batches import collate


def test_a_batch_packs_frames_to_the_front():
    mask = collate(learnable(4), np.array([0, 2]), SMALL).mask
    assert mask.tolist() == [[True, False, False], [True, True, True]]


def test_a_batch_numbers_equal_clips_alike():
    features = learnable(3)
    starts = features.clip_starts[[0, 1, 0]]
    groups = collate(replace(features, clip_starts=starts), np.arange(3), SMALL).groups[:, 1]
    assert groups[0] == groups[2] != groups[1]


def test_a_batch_numbers_equal_texts_alike():
    features = learnable(3)
    same = tuple(Sample(s.id, s.split, "same", None, 0.0) for s in features.samples[:2])
    samples = (*same, features.samples[2])
    groups = collate(replace(features, samples=samples), np.arange(3), SMALL).groups[:, 0]
    assert groups[0] == groups[1] != groups[2]
