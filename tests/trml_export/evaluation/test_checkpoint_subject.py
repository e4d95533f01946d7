from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from trml_export.evaluation import CheckpointSubject, DataSplit, evaluate
from trml_export.features.features import compute_split
from trml_export.training.checkpoint import load_checkpoint
from trml_export.training.fitting import presence_metrics


def test_a_checkpoint_scores_what_training_measured_on_valid(checkpoint, data, cache):
    split = DataSplit(data, name="valid")
    loaded = load_checkpoint(checkpoint)
    dataset = split.read(loaded.config)
    features = compute_split(dataset, "valid", loaded.backbone(), loaded.config, cache=cache)
    whole = features.take(np.flatnonzero(features.has_text & features.has_video))
    expected = presence_metrics(loaded.model(), whole)
    (run,) = evaluate(CheckpointSubject(checkpoint, cache), split).runs
    by_case = {case["case"]: case["mae"] for case in run["cases"]}
    assert by_case["random_0.0"] == pytest.approx(expected["text_video_mae"], abs=1e-6)
    assert by_case["video_missing_1.0"] == pytest.approx(expected["text_mae"], abs=1e-6)
    assert by_case["text_missing_1.0"] == pytest.approx(expected["video_mae"], abs=1e-6)


def test_the_record_names_the_weights_that_were_evaluated(checkpoint, data, cache):
    record = load_checkpoint(checkpoint).record
    subject = evaluate(CheckpointSubject(checkpoint, cache), DataSplit(data)).subject
    assert (subject["kind"], subject["name"]) == ("checkpoint", "clip-regression")
    assert subject["backbone"] == record.backbone.fingerprint
    assert subject["weights"] == record.files["model.safetensors"].sha256


def test_every_case_of_one_model_has_an_interval_and_the_table_no_column_for_it(
    checkpoint, data, cache
):
    evaluation = evaluate(CheckpointSubject(checkpoint, cache), DataSplit(data))
    for case in evaluation.runs[0]["cases"]:
        low, high = evaluation.interval("checkpoint", case["case"])
        assert low <= case["mae"] <= high
    assert "interval" not in evaluation.to_csv()


def test_test_rows_alone_are_evaluated_as_they_are_in_the_whole_data_set_but_without_floors(
    checkpoint, data, cache, tmp_path, caplog
):
    rows = [row for row in data.read_text().splitlines() if json.loads(row)["split"] == "test"]
    alone = data.parent / "test_alone.jsonl"
    alone.write_text("\n".join(rows))
    subject = CheckpointSubject(checkpoint, cache)
    evaluation = evaluate(subject, DataSplit(alone), out=tmp_path / "report")
    assert evaluation.runs == evaluate(subject, DataSplit(data)).runs
    assert evaluation.floors == {}
    assert f"{alone}: has no training samples, so there are no floors" in caplog.messages
    assert (tmp_path / "report" / "results.md").exists()
