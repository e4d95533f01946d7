"""The proof of recipes: it chooses on valid and judges on test, and the tables are the records'."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from trml_export.config import Config, parse_config
from trml_export.evaluation.metrics import main_metric

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "benchmarks" / "results").glob("recipes_*.json"))
CLASSES = Config(task="classification")


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("recipes")
    for name in ("recipes", "machine"):
        sys.modules.pop(name, None)


def _records(**values: tuple[float, float]):
    """Two seeds of recipes with one number on valid and one on test, in the case of both inputs."""
    return {
        name: [
            {"valid": {"both inputs": valid + noise}, "test": {"both inputs": test + noise}}
            for noise in (-0.01, 0.01)
        ]
        for name, (valid, test) in values.items()
    }


def test_valid_chooses_and_test_judges(script):
    records = _records(zero=(0.5, 0.9), constant=(0.5, 0.6), attention=(0.5, 0.6), gated=(0.8, 0.7))
    result = script.compare(records, CLASSES)
    assert result["taken"] == "gated"
    case = result["cases"]["both inputs"]
    assert (case["best_control"], case["within_one_deviation"]) == ("zero", False)
    assert case["gain"] == pytest.approx(-0.2)


def test_a_loss_of_less_than_a_deviation_holds(script):
    assert script.verdict([0.70, 0.72], [0.71, 0.73], 1)[1]
    assert not script.verdict([0.70, 0.70], [0.71, 0.712], 1)[1]
    assert script.verdict([0.70, 0.70], [0.71, 0.71], -1)[1]  # less is better


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_committed_table_is_that_of_its_record(script, path):
    results = json.loads(path.read_text())
    metric = main_metric(parse_config(results["config"]))
    assert path.with_suffix(".md").read_text() == script.markdown(results, metric)
