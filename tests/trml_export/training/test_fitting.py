from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import (
    SIZE,
    SMALL,
    UNALIGNED,
    UNALIGNED_SIZE,
    learnable,
    unaligned,
    unlearnable,
)
from trml_export.config import Config
from trml_export.data import Sample
from trml_export.evaluation.collapse import case_values
from trml_export.evaluation.metrics import measure
from trml_export.evaluation.predictions import predict
from trml_export.features.features import Features
from trml_export.method.model import TRML
from trml_export.training.batches import collate
from trml_export.training.fitting import fit, presence_metrics
from trml_rt.errors import UsageError


def test_another_seed_gives_other_numbers():
    results = [
        fit(learnable(), learnable(seed=1), SMALL.model_copy(update={"seed": seed}), SIZE)
        for seed in (0, 1)
    ]
    assert results[0].valid["loss"] != results[1].valid["loss"]


def test_fitting_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fit(learnable(8), learnable(8), SMALL.model_copy(update={"epochs": 1}), SIZE)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("loss", ["infonce", "cosine", "mse"])
def test_every_presence_case_is_learnt(loss):
    config = SMALL.model_copy(update={"epochs": 30, "matching_loss": loss})
    valid = fit(learnable(96), learnable(seed=1), config, SIZE).valid
    floor = np.abs([sample.target for sample in learnable(seed=1).samples]).mean()
    assert max(valid["text_mae"], valid["video_mae"], valid["text_video_mae"]) < floor / 3


def test_classes_are_learnt():
    def classes(seed: int) -> Features:
        scores = learnable(96, seed=seed)
        samples = tuple(
            Sample(s.id, s.split, s.text, s.video, int(s.target > 0)) for s in scores.samples
        )
        return replace(scores, samples=samples)

    config = Config(task="classification", labels=("low", "high"), epochs=20, learning_rate=1e-2)
    valid = fit(classes(0), classes(1), config, SIZE).valid
    assert valid["text_video_accuracy"] > 0.9


def test_balanced_classes_weigh_alike_and_the_model_keeps_their_weights():
    features = learnable(12)
    classes = [0] * 9 + [2] * 3
    samples = [
        Sample(s.id, s.split, s.text, s.video, target)
        for s, target in zip(features.samples, classes, strict=True)
    ]
    features = replace(features, samples=tuple(samples))
    config = Config(task="classification", class_weights="balanced", epochs=1)
    weights = fit(features, features, config, SIZE).model.config.class_weights
    assert weights == pytest.approx((12 / 27, 1, 12 / 9))


@pytest.mark.parametrize("equal_lengths", [True, False])
def test_vectors_of_equal_lengths_keep_both_inputs_off_the_floor(equal_lengths):
    # Without them virtual vectors grow, and the head does not hear the real second input.
    train, valid = unaligned(400, seed=0), unaligned(400, seed=1)
    truth = np.array([sample.target for sample in valid.samples])
    config = UNALIGNED.model_copy(update={"equal_lengths": equal_lengths})
    predicted = predict(fit(train, valid, config, UNALIGNED_SIZE).model, valid)
    both = measure(config, truth, predicted.both)["macro_f1"]
    always_the_commonest = measure(config, truth, np.tile([0, 0, 1], (len(truth), 1)))["macro_f1"]
    lengths = [
        np.linalg.norm(vectors, axis=1)
        for vectors in (predicted.virtual_text, predicted.virtual_video, predicted.real_video)
    ]
    if equal_lengths:
        assert both > always_the_commonest + 0.2
        np.testing.assert_allclose(lengths, 1, atol=1e-5)
    else:
        assert both < always_the_commonest + 0.05
        assert lengths[0].mean() > 3 * lengths[2].mean()


@pytest.mark.parametrize("head_scale", [None, 1.0])
def test_a_head_learns_from_vectors_whose_coordinates_are_near_1(head_scale):
    # Of vectors of length 1 it learns so slowly that every presence case stays at its floor.
    train, valid = unaligned(400, seed=0), unaligned(400, seed=1)
    changes = {"head_scale": head_scale, "learning_rate": 1e-3, "head_width": 64}
    config = UNALIGNED.model_copy(update=changes)
    predicted = predict(fit(train, valid, config, UNALIGNED_SIZE).model, valid)
    values = case_values(predicted, valid, config)
    floor = case_values(replace(predicted, **_commonest(predicted)), valid, config)
    for case, value in values.items():
        if head_scale is None:
            assert value > floor[case] + 0.08
        else:
            assert value < floor[case] + 0.03


def _commonest(predicted):
    """Answers of the commonest class, in each presence case."""
    answers = np.tile(np.array([0, 0, 1], np.float32), (len(predicted.both), 1))
    return dict.fromkeys(("text", "video", "both"), answers)


def test_matching_brings_virtual_vectors_to_the_real_ones():
    def distance(weight: float) -> float:
        # The modalities must differ, or a copy is right from the start.
        features = learnable(96)
        of_clips = np.ones(len(features.vectors), bool)
        of_clips[features.text_rows] = False
        turned = features.vectors.copy()
        turned[of_clips] = turned[of_clips, ::-1]
        features = replace(features, vectors=turned)
        config = SMALL.model_copy(
            update={"matching_weight": weight, "matching_loss": "cosine", "epochs": 20}
        )
        model = fit(features, features, config, SIZE).model
        batch = collate(features, np.arange(96), config)
        views = model(batch.text, batch.has_text, batch.frames, batch.mask)
        return (1 - torch.cosine_similarity(views.virtual_video, views.real_video)).mean().item()

    assert distance(1.0) < distance(0.0) / 2


def test_the_best_epoch_is_the_one_kept(monkeypatch):
    losses = []

    def watched(model, features):
        losses.append(presence_metrics(model, features)["loss"])
        return presence_metrics(model, features)

    monkeypatch.setattr("trml_export.training.fitting.presence_metrics", watched)
    result = fit(learnable(), unlearnable(), SMALL, SIZE)
    epochs = losses[: result.epochs]
    assert result.valid["loss"] == min(epochs) == epochs[result.best_epoch - 1] < epochs[-1]


def test_every_epoch_is_one_line_of_the_log(caplog):
    config = SMALL.model_copy(update={"epochs": 3})
    with caplog.at_level("INFO", "trml_export"):
        result = fit(learnable(), learnable(seed=1), config, SIZE)
    lines = [re.sub(r"\d\.\d{4}", "x", line) for line in caplog.messages]
    assert lines == [f"epoch {n} of 3: loss x, valid x" for n in (1, 2, 3)]
    last_valid = float(caplog.messages[result.best_epoch - 1].split()[-1])
    assert last_valid == pytest.approx(result.valid["loss"], abs=1e-4)


def test_training_stops_when_validation_gets_no_better():
    config = SMALL.model_copy(update={"epochs": 200, "patience": 3})
    result = fit(learnable(), unlearnable(), config, SIZE)
    assert result.epochs == result.best_epoch + 3


def test_a_diverging_run_says_what_to_try():
    features = learnable(16)
    spoilt = replace(features, vectors=features.vectors * np.inf)
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(UsageError, match=r"--set learning_rate=0\.001"),
    ):
        fit(spoilt, features, SMALL, SIZE)


@pytest.mark.parametrize("presence", ["text", "video"])
def test_one_modality_alone_can_be_trained(presence):
    features = learnable(presence=presence)
    valid = fit(features, features, SMALL, SIZE).valid
    assert set(valid) == {"loss", f"{presence}_mae"}


def test_evaluation_does_not_depend_on_the_batch():
    model = TRML(SMALL, SIZE)
    many = learnable(300)
    one, rest = many.take(np.array([299])), many.take(np.arange(299))
    loss = {len(part.samples): presence_metrics(model, part)["loss"] for part in (many, rest, one)}
    assert loss[300] == pytest.approx((299 * loss[299] + loss[1]) / 300, rel=1e-5)
