from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.statistic import Statistic


def test_the_summary_is_mean_and_deviation_over_the_seeds(protocol):
    values = [
        next(c["mae"] for c in run["cases"] if c["case"] == "random_0.3")
        for run in protocol.runs
        if (run["method"], run["completeness"]) == ("constant", 0.5)
    ]
    statistic = protocol.statistic("constant", 0.5, "random_0.3", "mae")
    assert statistic.mean == pytest.approx(np.mean(values))
    assert statistic.deviation == pytest.approx(np.std(values, ddof=1))
    assert Statistic.of(values[:1]).deviation is None


def test_a_metric_that_no_seed_has_is_a_dash_and_null(protocol):
    """The F1 of a label that is neither true nor chosen, for instance."""
    nothing = Statistic.of([float("nan"), 0.5])
    assert str(nothing) == "-"
    runs = json.loads(json.dumps(protocol.runs))
    for run in runs:
        run["cases"][0]["mae"] = float("nan")
    summary = json.loads(replace(protocol, runs=runs).to_json())["summary"]
    assert summary[0]["mae"] == {"mean": None, "deviation": None}


def test_the_tables_show_retrieval_of_both_directions_beside_its_floor(protocol):
    text = protocol.to_markdown()
    values = [
        run["retrieval"]["video_to_text"]["recall_1"]
        for run in protocol.runs
        if (run["method"], run["completeness"]) == ("trml", 1.0)
    ]
    table = text[text.index("| video to text") : text.index("| text to video")]
    assert f"| TRML | {Statistic.of(values)} |" in table
    assert "| floor: no vector at all |" in table


def test_the_runs_are_read_back_from_json_as_they_were_written(protocol):
    runs = json.loads(json.dumps(protocol.runs))
    runs[0]["cases"][0]["mae"] = float("nan")
    text = replace(protocol, runs=runs).to_json()
    read = Evaluation.from_json(text)
    assert json.loads(read.to_json())["runs"] == json.loads(text)["runs"]
    assert read.config == protocol.config
    assert np.isnan(read.runs[0]["cases"][0]["mae"])
    assert read.runs[0]["cases"][0]["rate"] is None


def test_the_table_of_a_bundle_has_its_name_and_row_counts_and_no_word_on_training(protocol):
    run = next(run for run in protocol.runs if run["method"] == "trml")
    subject = {"kind": "bundle", "name": "mini", "engines": "int8", "methods": {"trml": "int8"}}
    alone = replace(protocol, subject=subject, runs=[{**run, "completeness": 1.0}])
    text = alone.to_markdown()
    assert text.startswith("| mae | as it is |")
    assert "\n| mini, int8 | " in text
    samples = {case["case"]: case["samples"] for case in run["cases"]}
    assert f"\n| rows | {samples['as_is']} | {samples['random_0.0']} | " in text
    assert "rows" not in protocol.to_markdown()
