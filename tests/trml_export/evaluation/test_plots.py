"""Which pictures an evaluation gets, and what their titles say."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests.pictures import words_of
from trml_export.evaluation.plots import evaluation_pictures, headline


def test_the_same_record_gives_the_same_pictures(protocol, report):
    pictures = evaluation_pictures(protocol)
    for name, drawn in pictures.items():
        assert drawn == {kind: (report / f"{name}.{kind}").read_bytes() for kind in drawn}
    assert pictures["missing_1"] != pictures["missing_0.5"]


def test_the_title_names_model_metric_data_split_and_rows(protocol):
    name = protocol.subject["backbone"]["name"]
    protocol = replace(
        protocol, data=protocol.data | {"samples": {"text_video": 4000, "text": 7, "video": 0}}
    )
    first, rows, trained = headline(protocol, 0.5).split("\n")
    assert first == f"TRML and controls over {name}: MAE on {protocol.data['name']}, test split"
    assert rows == "4,007 rows: 4,000 with both inputs, 7 text alone"
    total = sum(protocol.subject["training_samples"].values())
    assert trained == (f"trained on {total} rows, 50% of the complete ones left whole; 2 seeds")
    for pictures in evaluation_pictures(protocol).values():
        assert {first, rows} <= words_of(pictures["svg"])


def test_a_bundle_is_titled_by_its_name_and_engines_and_no_training(protocol):
    subject = {"kind": "bundle", "name": "mini", "engines": "int8", "methods": {"trml": "int8"}}
    data = {**protocol.data, "samples": {"text_video": 0, "text": 7, "video": 0}}
    titled = headline(replace(protocol, subject=subject, data=data), 1.0)
    assert titled == f"mini, int8: MAE on {data['name']}, test split\nrows: 7 text alone"


def test_more_methods_than_colours_are_rows_alone(protocol):
    runs = [
        {**run, "method": f"trml {number}"}
        for run in protocol.runs
        if run["method"] == "trml"
        for number in range(10)
    ]
    titles = {f"trml {number}": f"variant {number}" for number in range(10)}
    many = replace(protocol, runs=runs, subject=protocol.subject | {"methods": titles})
    pictures = evaluation_pictures(many)
    assert sorted(pictures) == ["gains_0.5", "gains_1"]
    assert {*titles.values()} <= words_of(pictures["gains_1"]["svg"])


def test_where_no_row_is_complete_nothing_can_be_taken_away(protocol):
    data = {**protocol.data, "samples": {"text_video": 0, "text": 7, "video": 0}}
    assert "missing_1" not in evaluation_pictures(replace(protocol, data=data))
