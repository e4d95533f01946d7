from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.layouts import MELD_PROBLEMS, make_meld
from trml_export.config import Config, load_config
from trml_export.data import FORMATS, read_dataset
from trml_export.data.meld import EMOTIONS
from trml_export.features.features import compute_features
from trml_rt.errors import UsageError

CONFIG = load_config(defaults=FORMATS["meld"].defaults, overrides=["frames=2"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_meld(tmp_path_factory.mktemp("meld"))


def _replace(path, old, new) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def _ids(folder, config=CONFIG) -> list[str]:
    return [sample.id for sample in read_dataset(folder, config, "meld").samples]


def test_equal_numbers_in_two_splits_are_two_samples(folder):
    assert [i for i in _ids(folder) if i.endswith("dia0_utt0")] == [
        "train/dia0_utt0",
        "valid/dia0_utt0",
        "test/dia0_utt0",
    ]


def test_an_emotion_becomes_its_number_in_the_order_of_meld(folder):
    samples = read_dataset(folder, CONFIG, "meld").samples
    assert CONFIG.labels == EMOTIONS
    assert [s.target for s in samples] == [1, 0, 6, 3, 4, 2, 5, 0]


def test_sentiment_is_read_where_the_labels_are_sentiments(folder):
    config = CONFIG.model_copy(update={"labels": ("negative", "neutral", "positive")})
    samples = read_dataset(folder, config, "meld").samples
    assert [config.labels[s.target] for s in samples[:3]] == ["positive", "neutral", "negative"]


def test_a_text_keeps_its_line_breaks_and_quotes(folder):
    texts = [sample.text for sample in read_dataset(folder, CONFIG, "meld").samples]
    assert texts[:2] == ["Oh, my \u2019God\u2019!", "also I was the point person\nhere"]


def test_every_known_fault_is_survived_and_named(folder, clip, tmp_path):
    dataset = read_dataset(folder, CONFIG, "meld")
    features = compute_features(dataset.samples, clip, CONFIG, cache=tmp_path)
    problems = [*dataset.problems, *features.problems]
    assert {p.id: p.reason for p in problems} == MELD_PROBLEMS
    assert len(problems) == len(MELD_PROBLEMS)
    assert len(features.samples) == 8  # with their texts


def test_clips_may_lie_one_level_down(folder, tmp_path):
    archives = make_meld(tmp_path, as_archives=True)
    found = [read_dataset(each, CONFIG, "meld") for each in (folder, archives)]
    assert [s.id for s in found[1].samples] == [s.id for s in found[0].samples]
    assert found[1].samples[0].video == archives / "train" / "train_splits" / "dia0_utt0.mp4"
    assert {p.id: p.reason for p in found[1].problems} == {
        p.id: p.reason for p in found[0].problems
    }


def test_another_set_of_labels_is_refused():
    config = CONFIG.model_copy(update={"labels": ("good", "bad")})
    with pytest.raises(UsageError, match="MELD has no labels good, bad; give the seven"):
        read_dataset(None, config, "meld")


def test_regression_is_refused():
    with pytest.raises(UsageError, match="MELD has classes and no scores; set task=classification"):
        read_dataset(None, Config(), "meld")


def test_a_missing_folder_of_clips_is_refused_by_name(tmp_path):
    folder = make_meld(tmp_path)
    (folder / "dev_splits_complete").rename(folder / "elsewhere")
    with pytest.raises(UsageError, match="has no folder dev_splits_complete"):
        read_dataset(folder, CONFIG, "meld")


def test_a_number_of_any_length_names_a_clip(tmp_path):
    folder = make_meld(tmp_path)
    _replace(folder / "train_sent_emo.csv", ",125,3,", f",{'9' * 5000},003,")
    problems = read_dataset(folder, CONFIG, "meld").problems
    assert (f"train/dia{'9' * 5000}_utt3", "absent") in {(p.id, p.reason) for p in problems}


def test_faults_of_the_tables_are_counted_over_all_splits(tmp_path):
    folder = make_meld(tmp_path)
    _replace(folder / "train_sent_emo.csv", "surprise", "wonder")
    _replace(folder / "test_sent_emo.csv", ",38,4,", ",38,-4,")
    with pytest.raises(UsageError) as refused:
        read_dataset(folder, CONFIG, "meld")
    message = str(refused.value)
    assert ": 2 problems" in message
    assert "train_sent_emo.csv, line 2: Emotion 'wonder' is none of neutral" in message
    assert "must be whole numbers" in message
