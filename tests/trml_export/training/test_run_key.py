"""A run is found again when nothing that decides its numbers changed, and only then."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import SMALL, learnable
from trml_export.training.run_key import run_key

TRAIN = learnable(4)


def key(config=SMALL, identity="data and backbone", train=TRAIN, more=(), threads=1):
    return run_key(config, identity, {"train": train}, more, threads=threads)


def test_equal_runs_have_one_key_of_32_digits():
    assert key(train=learnable(4)) == key()
    assert re.fullmatch(r"[0-9a-f]{32}", key())


@pytest.mark.parametrize(
    "change",
    [
        {"config": SMALL.model_copy(update={"seed": SMALL.seed + 1})},
        {"config": SMALL.model_copy(update={"learning_rate": 2e-2})},
        {"identity": "another backbone"},
        {"train": learnable(3)},
        {"train": learnable(4, presence="text")},
        {"train": learnable(4, seed=1)},
        {"more": ["a method"]},
        {"threads": 2},
    ],
    ids=["seed", "setting", "identity", "fewer rows", "no videos", "scores", "more", "threads"],
)
def test_whatever_decides_the_numbers_gives_another_key(change):
    assert key(**change) != key()


def test_a_clip_that_changed_under_its_name_gives_another_key():
    vectors = TRAIN.vectors.copy()
    vectors[TRAIN.clip_starts[2]] += 1
    assert key(train=replace(TRAIN, vectors=vectors)) != key()


def test_vectors_that_lie_elsewhere_in_the_store_give_the_same_key():
    moved = np.concatenate([np.zeros_like(TRAIN.vectors[:3]), TRAIN.vectors])
    rows = {"text_rows": TRAIN.text_rows + 3, "clip_starts": TRAIN.clip_starts + 3}
    assert key(train=replace(TRAIN, vectors=moved, **rows)) == key()


def test_another_version_of_pytorch_gives_another_key(monkeypatch):
    before = key()
    monkeypatch.setattr("torch.__version__", "0.0")
    assert key() != before
