from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from tests import tiny
from trml_export.config import Config
from trml_export.data import Sample
from trml_export.features.features import Features
from trml_export.method.model import TRML
from trml_export.training.batches import collate
from trml_export.training.checkpoint import load_checkpoint
from trml_export.training.fitting import evaluate, fit
from trml_export.training.train import train
from trml_rt.cli.train import train as command
from trml_rt.errors import EnvironmentUnfit, InputUnusable, UsageError

SIZE = 8


def _features(count: int = 48, *, seed: int = 0, presence: str = "both") -> Features:
    """Vectors of which the first coordinate gives the score, in both modalities."""
    generator = np.random.default_rng(seed)
    samples, texts, videos = [], [], []
    for index in range(count):
        score = float(generator.uniform(-2, 2))
        direction = np.full(SIZE, 0.5)
        direction[0] = score
        text = (direction + generator.normal(0, 0.05, SIZE)).astype(np.float32)
        length = 1 + index % 4
        clip = (direction + generator.normal(0, 0.05, (length, SIZE))).astype(np.float32)
        samples.append(Sample(str(index), "train", f"text {index}", None, score))
        texts.append(text if presence in ("both", "text") else None)
        videos.append(clip if presence in ("both", "video") else None)
    return Features.of(samples, texts, videos)


def _unlearnable() -> Features:
    """Samples whose scores have nothing to do with their vectors."""
    noise = _features(seed=3)
    return replace(noise, samples=noise.samples[::-1])


SMALL = Config(frames=4, epochs=12, batch_size=16, learning_rate=1e-2, dropout=0.0)


def test_two_runs_of_one_seed_give_equal_numbers(clip_folder, data, tmp_path):
    config = Config(epochs=3, frames=4, batch_size=4)
    one = train(data, clip_folder, tmp_path / "one", config=config)
    two = train(data, clip_folder, tmp_path / "two", config=config)
    assert (one.train, one.valid) == (two.train, two.valid)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_another_seed_gives_other_numbers():
    results = [
        fit(_features(), _features(seed=1), SMALL.model_copy(update={"seed": seed}), SIZE)
        for seed in (0, 1)
    ]
    assert results[0].valid["loss"] != results[1].valid["loss"]


def test_fitting_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fit(_features(8), _features(8), SMALL.model_copy(update={"epochs": 1}), SIZE)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("loss", ["infonce", "cosine", "mse"])
def test_every_presence_case_is_learnt(loss):
    config = SMALL.model_copy(update={"epochs": 30, "matching_loss": loss})
    valid = fit(_features(96), _features(seed=1), config, SIZE).valid
    floor = np.abs([sample.target for sample in _features(seed=1).samples]).mean()
    assert max(valid["text_mae"], valid["video_mae"], valid["text_video_mae"]) < floor / 3


def test_classes_are_learnt():
    def classes(seed: int) -> Features:
        scores = _features(96, seed=seed)
        samples = tuple(
            Sample(s.id, s.split, s.text, s.video, int(s.target > 0)) for s in scores.samples
        )
        return replace(scores, samples=samples)

    config = Config(task="classification", labels=("low", "high"), epochs=20, learning_rate=1e-2)
    valid = fit(classes(0), classes(1), config, SIZE).valid
    assert valid["text_video_accuracy"] > 0.9


def test_matching_brings_virtual_vectors_to_the_real_ones():
    def distance(weight: float) -> float:
        # The modalities must differ, or a copy is right from the start.
        features = _features(96)
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
    seen = []

    def watched(model, features):
        seen.append(evaluate(model, features)["loss"])
        return evaluate(model, features)

    monkeypatch.setattr("trml_export.training.fitting.evaluate", watched)
    result = fit(_features(), _unlearnable(), SMALL, SIZE)
    epochs = seen[: result.epochs]
    assert result.valid["loss"] == min(epochs) == epochs[result.best_epoch - 1] < epochs[-1]


def test_training_stops_when_validation_gets_no_better():
    config = SMALL.model_copy(update={"epochs": 200, "patience": 3})
    result = fit(_features(), _unlearnable(), config, SIZE)
    assert result.epochs == result.best_epoch + 3


def test_a_diverging_run_says_what_to_try():
    features = _features(16)
    spoilt = replace(features, vectors=features.vectors * np.inf)
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(UsageError, match=r"--set learning_rate=0\.001"),
    ):
        fit(spoilt, features, SMALL, SIZE)


@pytest.mark.parametrize("presence", ["text", "video"])
def test_one_modality_alone_can_be_trained(presence):
    features = _features(presence=presence)
    valid = fit(features, features, SMALL, SIZE).valid
    assert set(valid) == {"loss", f"{presence}_mae"}


def test_a_batch_packs_frames_to_the_front():
    mask = collate(_features(4), np.array([0, 2]), SMALL).mask
    assert mask.tolist() == [[True, False, False], [True, True, True]]


def test_a_batch_numbers_equal_clips_alike():
    features = _features(3)
    starts = features.clip_starts[[0, 1, 0]]
    groups = collate(replace(features, clip_starts=starts), np.arange(3), SMALL).groups[:, 1]
    assert groups[0] == groups[2] != groups[1]


def test_a_batch_numbers_equal_texts_alike():
    features = _features(3)
    same = tuple(Sample(s.id, s.split, "same", None, 0.0) for s in features.samples[:2])
    samples = (*same, features.samples[2])
    groups = collate(replace(features, samples=samples), np.arange(3), SMALL).groups[:, 0]
    assert groups[0] == groups[1] != groups[2]


def test_evaluation_does_not_depend_on_the_batch():
    model = TRML(SMALL, SIZE)
    many = _features(300)
    one, rest = many.take(np.array([299])), many.take(np.arange(299))
    mean = (299 * evaluate(model, rest)["loss"] + evaluate(model, one)["loss"]) / 300
    assert evaluate(model, many)["loss"] == pytest.approx(mean, rel=1e-5)


def test_the_report_counts_what_was_there(clip_folder, data, tmp_path):
    report = train(data, clip_folder, tmp_path / "out", config=Config(epochs=1))
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    both = sum(r["split"] == "train" and "text" in r and "video" in r for r in rows)
    assert report.samples["train_text_video"] == both
    assert load_checkpoint(tmp_path / "out").record.training.samples == report.samples


def test_an_undecodable_video_is_trained_without_and_reported(clip_folder, tmp_path):
    data = tiny.dataset(tmp_path / "data")
    (tmp_path / "data" / "v1.png").write_bytes(b"broken")
    report = train(data, clip_folder, tmp_path / "out", config=Config(epochs=1))
    assert [(p.id, p.reason) for p in report.problems] == [("s1", "undecodable")]


def test_a_split_without_one_usable_input_is_refused(clip_folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    rows = [
        {"id": "a", "split": "train", "text": "x", "score": 1},
        {"id": "b", "split": "valid", "video": "broken.mp4", "score": 1},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(InputUnusable, match="no valid sample can be used"):
        train(path, clip_folder, tmp_path / "out")


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        train(tmp_path / "none.jsonl", "no-such-model", tmp_path / "out")


def _invoke(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=True)


def test_the_command_trains_and_prints_json(hf_folder, data, tmp_path):
    result = _invoke(
        *("--data", data, "--backbone", hf_folder, "--out", tmp_path / "out"),
        *("--set", "epochs=1", "--set", "frames=2", "--json"),
    )
    assert json.loads(result.stdout)["epochs"] == 1
    assert load_checkpoint(tmp_path / "out").config.frames == 2


def test_the_command_names_the_extra_that_is_missing(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "trml_export.training.train")
    monkeypatch.delitem(sys.modules, "trml_export.backbone.backbone")
    result = _invoke("--data", "d", "--backbone", "b", "--out", tmp_path / "out")
    assert isinstance(result.exception, EnvironmentUnfit)
    assert "training needs the package torch; in the checkout of trml-rt: pip install" in str(
        result.exception
    )


def test_the_help_ends_in_an_example():
    assert "Example: trml-rt train --data" in _invoke("--help").output.split("\n\n")[-1]


def test_a_target_that_cannot_be_written_is_refused_before_any_work(clip_folder, data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentUnfit, match="cannot be written"):
        train(data, clip_folder, tmp_path / "file" / "checkpoint", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said(clip_folder, data, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(EnvironmentUnfit, match="name another folder with --cache"):
        train(data, clip_folder, tmp_path / "checkpoint", cache=tmp_path / "cache")
