from __future__ import annotations

import csv

import pytest

pytest.importorskip("torch")

from tests.layouts import MMSA_PROBLEMS, make_mmsa
from trml_export.config import load_config
from trml_export.data import FORMATS, read_dataset
from trml_export.features.features import compute_features
from trml_rt.errors import UsageError

CONFIG = load_config(defaults=FORMATS["mmsa"].defaults, overrides=["frames=2"])
CLASSES = CONFIG.model_copy(update={"task": "classification"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_mmsa(tmp_path_factory.mktemp("mmsa"))


def _rows(folder):
    with (folder / "label.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _changed(tmp_path, change) -> object:
    """Make the layout with a table that `change` got its hands on."""
    folder = make_mmsa(tmp_path)
    rows = _rows(folder)
    change(rows)
    with (folder / "label.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def _refusal(tmp_path, change, config=CONFIG) -> str:
    with pytest.raises(UsageError) as refused:
        read_dataset(_changed(tmp_path, change), config, "mmsa")
    return str(refused.value)


def test_a_row_becomes_a_sample_with_its_clip(folder):
    sample = read_dataset(folder, CONFIG, "mmsa").samples[0]
    assert (sample.id, sample.split, sample.target) == ("-3g5yACwYnA$_$1", "train", 2.4)
    assert sample.text == 'SHE SAID, "SO GOOD"'
    assert sample.video == folder / "Raw" / "-3g5yACwYnA" / "1.mp4"


def test_ids_that_look_like_one_number_are_two_clips(folder):
    videos = [sample.video for sample in read_dataset(folder, CONFIG, "mmsa").samples[:2]]
    assert [video.name for video in videos] == ["1.mp4", "0001.mp4"]


def test_a_line_break_in_a_text_is_kept(folder):
    assert read_dataset(folder, CONFIG, "mmsa").samples[1].text == "not\r\nso much"


def test_a_line_separator_that_csv_does_not_know_ends_no_row(tmp_path):
    folder = _changed(tmp_path, lambda rows: rows[1].__setitem__(2, "so \x85 good \u2028 it was"))
    sample = read_dataset(folder, CONFIG, "mmsa").samples[0]
    assert (sample.text, sample.target) == ("so \x85 good \u2028 it was", 2.4)


def test_classification_reads_the_annotation_whatever_its_case(folder):
    samples = read_dataset(folder, CLASSES, "mmsa").samples
    assert [CLASSES.labels[s.target] for s in samples[:2]] == ["positive", "negative"]


def test_every_known_fault_is_survived_and_named(folder, clip, tmp_path):
    dataset = read_dataset(folder, CONFIG, "mmsa")
    features = compute_features(dataset.samples, clip, CONFIG, cache=tmp_path)
    problems = [*dataset.problems, *features.problems]
    first = {p.id: p.reason for p in reversed(problems) if p.reason != "nothing_left"}
    assert first == {**MMSA_PROBLEMS, "03bSnISJMiM$_$11": "empty_text"}
    last = {p.id: p.reason for p in problems if p.id == "03bSnISJMiM$_$11"}
    assert last == {"03bSnISJMiM$_$11": "nothing_left"}


def test_a_problem_names_the_file(folder, clip, tmp_path):
    dataset = read_dataset(folder, CONFIG, "mmsa")
    features = compute_features(dataset.samples, clip, CONFIG, cache=tmp_path)
    of_clips = {p.id: p for p in [*dataset.problems, *features.problems]}
    for identity in ("-3g5yACwYnA$_$0010", "-3g5yACwYnA$_$2", "03bSnISJMiM$_$2"):
        path = str(folder / "Raw" / identity.replace("$_$", "/")) + ".mp4"
        assert of_clips[identity].input == path
        assert of_clips[identity].message.startswith(path)


def test_a_sample_without_its_clip_keeps_its_text(folder, clip, tmp_path):
    dataset = read_dataset(folder, CONFIG, "mmsa")
    features = compute_features(dataset.samples, clip, CONFIG, cache=tmp_path)
    has = dict(zip([s.id for s in features.samples], features.has_video, strict=True))
    assert has == {
        "-3g5yACwYnA$_$1": True,
        "-3g5yACwYnA$_$0001": True,
        "-3g5yACwYnA$_$0010": False,
        "-3g5yACwYnA$_$2": False,
        "03bSnISJMiM$_$1": False,
        "03bSnISJMiM$_$2": False,
        "03bSnISJMiM$_$3": False,
        "03bSnISJMiM$_$4": True,
    }


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, 3, "good", "label 'good' is no number"),
        (1, 3, "nan", "label 'nan' is no number"),
        (1, 3, "3.5", "label 3.5 is outside of score_range, -3 to 3"),
        (1, 8, "dev", "mode 'dev' must be one of train, valid, test"),
        (1, 0, "..", "video_id '..' is no name of a file"),
        (1, 1, "../../etc/passwd", "clip_id '../../etc/passwd' is no name of a file"),
        (2, 1, "1", "-3g5yACwYnA$_$1 stands twice, also in label.csv, line 2"),
    ],
)
def test_a_fault_of_the_table_is_refused(tmp_path, row, column, value, message):
    refusal = _refusal(tmp_path, lambda rows: rows[row].__setitem__(column, value))
    assert message in refusal


def test_all_faults_of_a_row_are_counted(tmp_path):
    row = ["..", "a/b", "text", "good", "", "", "", "Positive", "dev"]
    refusal = _refusal(tmp_path, lambda rows: rows.append(row))
    assert ": 4 problems" in refusal


def test_a_clip_that_cannot_be_looked_at_is_refused_by_name(tmp_path):
    folder = make_mmsa(tmp_path)
    (folder / "Raw" / "loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(UsageError, match=r"Raw/loop\.mp4: cannot be read"):
        read_dataset(folder, CONFIG, "mmsa")


def test_an_annotation_that_is_no_label_is_refused(tmp_path):
    refusal = _refusal(tmp_path, lambda rows: rows[1].__setitem__(7, "Mixed"), CLASSES)
    assert "annotation 'Mixed' is none of negative, neutral, positive" in refusal


def test_a_missing_column_is_refused_by_name(tmp_path):
    refusal = _refusal(tmp_path, lambda rows: rows[0].__setitem__(8, "split"))
    assert "has no column mode" in refusal


def test_a_folder_without_clips_is_refused_at_once(tmp_path):
    folder = make_mmsa(tmp_path)
    (folder / "Raw").rename(folder / "Clips")
    with pytest.raises(UsageError, match="has no folder Raw"):
        read_dataset(folder, CONFIG, "mmsa")


def test_a_split_without_samples_is_refused(tmp_path):
    refusal = _refusal(tmp_path, lambda rows: [row.__setitem__(8, "test") for row in rows[1:]])
    assert "no sample has the split 'train'" in refusal


@pytest.mark.parametrize(("largest", "warned"), [("1", True), ("1.2", False)])
def test_scores_of_a_third_of_the_range_are_said_once(
    tmp_path, caplog, monkeypatch, largest, warned
):
    monkeypatch.setattr("trml_export.data.mmsa._ENOUGH", 3)

    def change(rows):
        label = rows[0].index("label")
        for row in rows[1:]:
            row[label] = "-0.4"
        rows[1][label] = largest

    read_dataset(_changed(tmp_path, change), CONFIG, "mmsa")
    assert ("as in CH-SIMS" in caplog.text) is warned
